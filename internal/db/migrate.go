package db

import (
	"context"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
)

// Migrations are the numbered SQL files (goose format, in "migrations/") of one room. They are written once, in SQL that
// both engines read: TEXT, BIGINT, BOOLEAN, TIMESTAMPTZ.
type Migrations struct {
	Room string // the prefix of the room's tables
	FS   fs.FS
}

// Migrate brings the tables of all rooms up to date. Each room counts its own versions, in ROOM_migration.
func (d *DB) Migrate(ctx context.Context, all ...Migrations) error {
	dialect := goose.DialectSQLite3
	if d.pg {
		dialect = goose.DialectPostgres
	}
	for _, m := range all {
		store, err := database.NewStore(dialect, m.Room+"_migration")
		if err != nil {
			return err
		}
		sub, err := fs.Sub(m.FS, "migrations")
		if err != nil {
			return err
		}
		p, err := goose.NewProvider("", d.write.DB, sub, goose.WithStore(store), goose.WithDisableGlobalRegistry(true))
		if err != nil {
			return fmt.Errorf("migrations of %s: %w", m.Room, err)
		}
		if _, err := p.Up(ctx); err != nil {
			return fmt.Errorf("migrations of %s: %w", m.Room, err)
		}
	}
	return nil
}
