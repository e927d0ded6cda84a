package audit

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"strings"

	"github.com/pve-smb-gateway/smbgw/internal/clock"
	"github.com/pve-smb-gateway/smbgw/internal/db"
	"github.com/pve-smb-gateway/smbgw/internal/event"
	"github.com/pve-smb-gateway/smbgw/internal/logx"
	"github.com/pve-smb-gateway/smbgw/internal/problem"
)

//go:embed migrations/*.sql
var files embed.FS

// Migrations make the tables of this room.
var Migrations = db.Migrations{Room: "audit", FS: files}

// Privilege to read the trail. Nobody may change it.
const Privilege = "Audit.Audit"

// Log is the trail. It is safe for concurrent use, also by several processes on one store.
type Log struct {
	db    *db.DB
	clock clock.Clock
}

// NewLog returns the trail in d.
func NewLog(d *db.DB, c clock.Clock) *Log { return &Log{db: d, clock: c} }

// Append writes the row of one change in the transaction that ctx carries; it fails outside one. Who acts and the
// request ID come from ctx ([event.ActorOf], [logx.RequestID]). c.Before and c.After must not hold secrets.
func (l *Log) Append(ctx context.Context, c event.Change) error {
	if !db.InTx(ctx) {
		return errors.New("audit: append outside a transaction")
	}
	r, err := newRow(event.ActorOf(ctx), logx.RequestID(ctx), c, l.clock.Now())
	if err != nil {
		return fmt.Errorf("audit: %s: %w", c.Action, err)
	}
	conn := l.db.Conn(ctx)
	// The head's lock is held until the transaction ends: the chain is in commit order and has no gaps.
	if err := conn.NewRaw("UPDATE audit_head SET seq = seq + 1 WHERE id = 1 RETURNING seq, hash").Scan(ctx, &r.Seq, &r.PrevHash); err != nil {
		return fmt.Errorf("audit: the head of the chain: %w", err)
	}
	r.Hash = r.sum(r.PrevHash)
	if _, err := conn.NewInsert().Model(r).Exec(ctx); err != nil {
		return err
	}
	_, err = conn.NewRaw("UPDATE audit_head SET hash = ? WHERE id = 1", r.Hash).Exec(ctx)
	return err
}

var fields = db.Fields{
	Columns: map[string]string{
		"seq": "seq", "at": "at", "actor": "actor_name", "actorKind": "actor_kind", "actorUID": "actor_uid", "remoteAddr": "remote_addr",
		"requestID": "request_id", "action": "action", "kind": "kind", "uid": "uid", "name": "name",
	},
	Search:  []string{"search"},
	Default: "-seq",
	UID:     "seq",
}

// List returns one page of entries, newest first unless q sorts otherwise.
func (l *Log) List(ctx context.Context, q db.ListQuery) (db.Page[Entry], error) {
	for name := range strings.SplitSeq(q.Sort, ",") {
		// In cursors "uid" means the row itself, see [db.List]; here that is seq.
		if strings.TrimPrefix(strings.TrimSpace(name), "-") == "uid" {
			return db.Page[Entry]{}, problem.New(400, problem.CodeInvalid, "sort: Entries cannot be sorted by uid. Filter by uid, and sort by seq or at.")
		}
	}
	page := db.Page[Entry]{Items: []Entry{}}
	err := l.db.Read(ctx, func(ctx context.Context) error {
		var rows []row
		next, total, err := db.List(ctx, l.db.Conn(ctx).NewSelect().Model(&rows), fields, q, &rows, (*row).value)
		if err != nil {
			return err
		}
		page.NextCursor, page.Total = next, total
		for i := range rows {
			page.Items = append(page.Items, rows[i].entry())
		}
		return nil
	})
	return page, err
}

// value returns what the cursor keeps of a row for an API field.
func (r *row) value(field string) any {
	switch field {
	case "at":
		return r.At
	case "actor":
		return r.ActorName
	case "actorKind":
		return r.ActorKind
	case "actorUID":
		return r.ActorUID
	case "remoteAddr":
		return r.RemoteAddr
	case "requestID":
		return r.RequestID
	case "action":
		return r.Action
	case "kind":
		return r.Kind
	case "name":
		return r.Name
	default: // seq, and uid: the tie-breaker
		return r.Seq
	}
}
