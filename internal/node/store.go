package node

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
var Migrations = db.Migrations{Room: "node", FS: files}

// row is a node as it is stored. Columns beside spec, status and report are there to be searched and constrained.
type row struct {
	bun.BaseModel  `bun:"table:node_node"`
	UID            string    `bun:"uid,pk"`
	Name           string    `bun:"name"`
	Phase          Phase     `bun:"phase"`
	Hostname       string    `bun:"hostname"`
	Search         string    `bun:"search"`
	Generation     int64     `bun:"generation"`
	Revision       int64     `bun:"revision"`
	Spec           Spec      `bun:"spec,type:text"`
	Status         Status    `bun:"status,type:text"`
	Report         reported  `bun:"report,type:text"`
	KeyHash        string    `bun:"key_hash"`
	LinkEpoch      int64     `bun:"link_epoch"`
	Attached       bool      `bun:"attached"`
	ConfirmedEpoch string    `bun:"confirmed_epoch"`
	ConfirmedSeq   int64     `bun:"confirmed_seq"`
	LastSeenAt     time.Time `bun:"last_seen_at,nullzero"`
	CreatedAt      time.Time `bun:"created_at"`
	UpdatedAt      time.Time `bun:"updated_at"`
}

// reported is what else of the last report is kept.
type reported struct {
	ShareRoots []string `json:"shareRoots"`
	SMBAddress string   `json:"smbAddress"`
}

func toRow(n *Node) *row {
	r := &row{
		UID: n.UID, Name: n.Name, Phase: n.Status.Phase, Hostname: n.Status.Hostname,
		Generation: n.Generation, Revision: n.Revision, Spec: n.Spec, Status: n.Status,
		Report:  reported{ShareRoots: n.ShareRoots, SMBAddress: n.smbAddress},
		KeyHash: n.keyHash, LinkEpoch: int64(n.linkEpoch), Attached: n.attached,
		ConfirmedEpoch: n.confirmedEpoch, ConfirmedSeq: n.confirmedSeq, CreatedAt: n.CreatedAt, UpdatedAt: n.UpdatedAt,
	}
	r.Status.LastSeenAt = nil // it has a column, which moves alone
	if n.Status.LastSeenAt != nil {
		r.LastSeenAt = *n.Status.LastSeenAt
	}
	st := &n.Status
	r.Search = strings.ToLower(strings.Join([]string{n.Name, n.Address, st.Hostname, st.OS, st.SambaVersion, st.AgentVersion,
		st.LinkAddress, strings.Join(n.ShareRoots, "\n")}, "\n"))
	return r
}

func (r *row) node() Node {
	n := Node{
		Meta: object.Meta{UID: r.UID, Generation: r.Generation, Revision: r.Revision, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt},
		Spec: r.Spec, Status: r.Status, ShareRoots: r.Report.ShareRoots, smbAddress: r.Report.SMBAddress,
		keyHash: r.KeyHash, linkEpoch: uint64(r.LinkEpoch), attached: r.Attached,
		confirmedEpoch: r.ConfirmedEpoch, confirmedSeq: r.ConfirmedSeq,
	}
	if !r.LastSeenAt.IsZero() {
		at := r.LastSeenAt.UTC()
		n.Status.LastSeenAt = &at
	}
	n.settle()
	return n
}

type store struct{ db *db.DB }

var fields = db.Fields{
	Columns: map[string]string{
		"name": "name", "phase": "phase", "hostname": "hostname", "createdAt": "created_at", "updatedAt": "updated_at",
	},
	Search: []string{"search"}, Default: "name", UID: "uid",
}

func (s store) list(ctx context.Context, q db.ListQuery) (db.Page[Node], error) {
	var rows []row
	next, total, err := db.List(ctx, s.db.Conn(ctx).NewSelect().Model(&rows), fields, q, &rows, func(r *row, field string) any {
		return map[string]any{
			"uid": r.UID, "name": r.Name, "phase": r.Phase, "hostname": r.Hostname, "createdAt": r.CreatedAt, "updatedAt": r.UpdatedAt,
		}[field]
	})
	return db.Page[Node]{Items: nodes(rows), NextCursor: next, Total: total}, err
}

func nodes(rows []row) []Node {
	out := make([]Node, len(rows))
	for i := range rows {
		out[i] = rows[i].node()
	}
	return out
}

func (s store) get(ctx context.Context, uid string) (Node, error) {
	return s.one(ctx, uid, func(q *bun.SelectQuery) *bun.SelectQuery { return q.Where("uid = ?", uid) })
}

func (s store) byName(ctx context.Context, name string) (Node, error) {
	return s.one(ctx, name, func(q *bun.SelectQuery) *bun.SelectQuery { return q.Where("name = ?", name) })
}

// lock reads a node that the transaction in ctx is going to write. On SQLite that transaction is the only one anyway.
func (s store) lock(ctx context.Context, uid string) (Node, error) {
	return s.one(ctx, uid, func(q *bun.SelectQuery) *bun.SelectQuery {
		if s.db.Postgres() {
			q = q.For("UPDATE")
		}
		return q.Where("uid = ?", uid)
	})
}

func (s store) one(ctx context.Context, ref string, where func(*bun.SelectQuery) *bun.SelectQuery) (Node, error) {
	var r row
	err := where(s.db.Conn(ctx).NewSelect().Model(&r)).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return Node{}, problem.NotFound("node", ref)
	}
	if err != nil {
		return Node{}, err
	}
	return r.node(), nil
}

func (s store) all(ctx context.Context) ([]Node, error) {
	var rows []row
	err := s.db.Conn(ctx).NewSelect().Model(&rows).Order("name").Scan(ctx)
	return nodes(rows), err
}

func (s store) insert(ctx context.Context, n *Node) error {
	_, err := s.db.Conn(ctx).NewInsert().Model(toRow(n)).Exec(ctx)
	return err
}

func (s store) update(ctx context.Context, n *Node) error {
	_, err := s.db.Conn(ctx).NewUpdate().Model(toRow(n)).WherePK().Exec(ctx)
	return err
}

func (s store) delete(ctx context.Context, uid string) error {
	if _, err := s.db.Conn(ctx).NewDelete().Model((*enrolmentRow)(nil)).Where("node_uid = ?", uid).Exec(ctx); err != nil {
		return err
	}
	_, err := s.db.Conn(ctx).NewDelete().Model((*row)(nil)).Where("uid = ?", uid).Exec(ctx)
	return err
}

type enrolmentRow struct {
	bun.BaseModel `bun:"table:node_enrolment"`
	UID           string    `bun:"uid,pk"`
	Name          string    `bun:"name"`
	TokenHash     string    `bun:"token_hash"`
	NodeUID       string    `bun:"node_uid"`
	UsedBy        string    `bun:"used_by"`
	CreatedAt     time.Time `bun:"created_at"`
	ExpiresAt     time.Time `bun:"expires_at"`
}

func (r *enrolmentRow) enrolment() Enrolment {
	return Enrolment{UID: r.UID, Name: r.Name, Node: r.NodeUID, Used: r.UsedBy != "", CreatedAt: r.CreatedAt.UTC(), ExpiresAt: r.ExpiresAt.UTC()}
}

// enrolment returns the one whose column has this value; nil if there is none.
func (s store) enrolment(ctx context.Context, column, value string) (*enrolmentRow, error) {
	var r enrolmentRow
	err := s.db.Conn(ctx).NewSelect().Model(&r).Where("? = ?", bun.Ident(column), value).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return &r, err
}

func (s store) enrolments(ctx context.Context) ([]enrolmentRow, error) {
	var rows []enrolmentRow
	err := s.db.Conn(ctx).NewSelect().Model(&rows).Order("created_at", "uid").Scan(ctx)
	return rows, err
}

func (s store) insertEnrolment(ctx context.Context, r *enrolmentRow) error {
	_, err := s.db.Conn(ctx).NewInsert().Model(r).Exec(ctx)
	return err
}

func (s store) updateEnrolment(ctx context.Context, r *enrolmentRow) error {
	_, err := s.db.Conn(ctx).NewUpdate().Model(r).WherePK().Exec(ctx)
	return err
}

// use marks a token as used; false if somebody else was faster.
func (s store) use(ctx context.Context, r *enrolmentRow) (bool, error) {
	res, err := s.db.Conn(ctx).NewUpdate().Model(r).Column("used_by", "node_uid").Where("uid = ? AND used_by = ''", r.UID).Exec(ctx)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n == 1, err
}

func (s store) deleteEnrolment(ctx context.Context, uid string) error {
	_, err := s.db.Conn(ctx).NewDelete().Model((*enrolmentRow)(nil)).Where("uid = ?", uid).Exec(ctx)
	return err
}

func (s store) pruneEnrolments(ctx context.Context, before time.Time) error {
	_, err := s.db.Conn(ctx).NewDelete().Model((*enrolmentRow)(nil)).Where("expires_at < ?", before).Exec(ctx)
	return err
}

// storeEpoch returns the epoch of the store, "" before there is one.
func (s store) storeEpoch(ctx context.Context) (string, error) {
	var epoch string
	err := s.db.Conn(ctx).NewRaw("SELECT epoch FROM node_store_epoch WHERE id = 1").Scan(ctx, &epoch)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return epoch, err
}

func (s store) setStoreEpoch(ctx context.Context, epoch string) error {
	_, err := s.db.Conn(ctx).NewRaw(`INSERT INTO node_store_epoch (id, epoch) VALUES (1, ?)
		ON CONFLICT (id) DO UPDATE SET epoch = excluded.epoch`, epoch).Exec(ctx)
	return err
}
