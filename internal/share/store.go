package share

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"strings"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/db"
	"github.com/pve-smb-gateway/smbgw/internal/object"
	"github.com/pve-smb-gateway/smbgw/internal/problem"
	"github.com/uptrace/bun"
)

//go:embed migrations/*.sql
var files embed.FS

// Migrations make the tables of this room.
var Migrations = db.Migrations{Room: "share", FS: files}

// row is a share as it is stored. Columns beside spec and status are there to be searched and constrained.
type row struct {
	bun.BaseModel `bun:"table:share_share"`
	UID           string    `bun:"uid,pk"`
	NodeUID       string    `bun:"node_uid"`
	Name          string    `bun:"name"`
	NameKey       string    `bun:"name_key"`
	Path          string    `bun:"path"`
	Phase         Phase     `bun:"phase"`
	Ready         string    `bun:"ready"`
	Search        string    `bun:"search"`
	Generation    int64     `bun:"generation"`
	Revision      int64     `bun:"revision"`
	Spec          Spec      `bun:"spec,type:text"`
	Status        Status    `bun:"status,type:text"`
	CreatedAt     time.Time `bun:"created_at"`
	UpdatedAt     time.Time `bun:"updated_at"`
	DeletingAt    time.Time `bun:"deleting_at,nullzero"`
	DeletingSeq   int64     `bun:"deleting_seq"`
}

func toRow(s *Share) *row {
	ready := object.Unknown
	if c := object.Find(s.Status.Conditions, object.Ready); c != nil && c.ObservedGeneration == s.Generation {
		ready = c.Status
	}
	search := []string{s.Name, s.Comment, s.Path, strings.Join(s.ValidUsers, " "), strings.Join(s.ReadList, " "), strings.Join(s.WriteList, " ")}
	for k, v := range s.Parameters {
		search = append(search, k, v)
	}
	return &row{
		UID: s.UID, NodeUID: s.Node, Name: s.Name, NameKey: nameKey(s.Name), Path: s.Path, Phase: s.Status.Phase, Ready: string(ready),
		Search: strings.ToLower(strings.Join(search, "\n")), Generation: s.Generation, Revision: s.Revision, Spec: s.Spec, Status: s.Status,
		CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt, DeletingAt: s.deletingAt, DeletingSeq: s.deletingSeq,
	}
}

func (r *row) share() Share {
	s := Share{
		Meta: object.Meta{UID: r.UID, Generation: r.Generation, Revision: r.Revision, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt},
		Spec: r.Spec, Status: r.Status, deletingAt: r.DeletingAt, deletingSeq: r.DeletingSeq,
	}
	s.settle()
	return s
}

type store struct{ db *db.DB }

var fields = db.Fields{
	Columns: map[string]string{
		"name": "name_key", "node": "node_uid", "path": "path", "phase": "phase", "ready": "ready",
		"createdAt": "created_at", "updatedAt": "updated_at",
	},
	Search: []string{"search"}, Default: "name", UID: "uid",
}

func (s store) list(ctx context.Context, q db.ListQuery) (db.Page[Share], error) {
	var rows []row
	next, total, err := db.List(ctx, s.db.Conn(ctx).NewSelect().Model(&rows), fields, q, &rows, func(r *row, field string) any {
		return map[string]any{
			"uid": r.UID, "name": r.NameKey, "node": r.NodeUID, "path": r.Path, "phase": r.Phase, "ready": r.Ready,
			"createdAt": r.CreatedAt, "updatedAt": r.UpdatedAt,
		}[field]
	})
	return db.Page[Share]{Items: shares(rows), NextCursor: next, Total: total}, err
}

func shares(rows []row) []Share {
	out := make([]Share, len(rows))
	for i := range rows {
		out[i] = rows[i].share()
	}
	return out
}

func (s store) get(ctx context.Context, uid string) (Share, error) {
	var r row
	err := s.db.Conn(ctx).NewSelect().Model(&r).Where("uid = ?", uid).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return Share{}, problem.NotFound("share", uid)
	}
	return r.share(), err
}

func (s store) all(ctx context.Context) ([]Share, error) {
	var rows []row
	err := s.db.Conn(ctx).NewSelect().Model(&rows).Where("deleting_at IS NULL").Order("name_key").Scan(ctx)
	return shares(rows), err
}

func (s store) ofNode(ctx context.Context, nodeUID string) ([]Share, error) {
	var rows []row
	err := s.db.Conn(ctx).NewSelect().Model(&rows).Where("node_uid = ?", nodeUID).Order("name_key").Scan(ctx)
	return shares(rows), err
}

// overlapping returns a share of the same node whose path is that of share, or lies above or below it.
func (s store) overlapping(ctx context.Context, share *Share) (*Share, error) {
	var r row
	err := s.db.Conn(ctx).NewSelect().Model(&r).
		Where("node_uid = ? AND uid <> ? AND deleting_at IS NULL AND path <> ''", share.Node, share.UID).
		Where("path = ?0 OR SUBSTR(path, 1, LENGTH(?0) + 1) = ?1 OR SUBSTR(?0, 1, LENGTH(path) + 1) = path || '/'", share.Path, share.Path+"/").
		Limit(1).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	other := r.share()
	return &other, err
}

func (s store) insert(ctx context.Context, share *Share) error {
	_, err := s.db.Conn(ctx).NewInsert().Model(toRow(share)).Exec(ctx)
	return err
}

func (s store) update(ctx context.Context, share *Share) error {
	_, err := s.db.Conn(ctx).NewUpdate().Model(toRow(share)).WherePK().Exec(ctx)
	return err
}

func (s store) updateStatus(ctx context.Context, share *Share) error {
	_, err := s.db.Conn(ctx).NewUpdate().Model(toRow(share)).Column("phase", "ready", "status").WherePK().Exec(ctx)
	return err
}

func (s store) delete(ctx context.Context, uid string) error {
	_, err := s.db.Conn(ctx).NewDelete().Model((*row)(nil)).Where("uid = ?", uid).Exec(ctx)
	return err
}
