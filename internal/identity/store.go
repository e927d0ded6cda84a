package identity

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/desired"
	"github.com/pve-smb-gateway/smbgw/internal/event"
	"github.com/pve-smb-gateway/smbgw/internal/object"
	"github.com/pve-smb-gateway/smbgw/internal/problem"
	"github.com/uptrace/bun"
)

// batch is how many rows go into one statement.
const batch = 500

type userRow struct {
	bun.BaseModel `bun:"table:identity_user"`
	UID           string    `bun:"uid,pk"`
	Generation    int64     `bun:"generation"`
	Revision      int64     `bun:"revision"`
	CreatedAt     time.Time `bun:"created_at"`
	UpdatedAt     time.Time `bun:"updated_at"`
	Name          string    `bun:"name"`
	FullName      string    `bun:"full_name"`
	Enabled       bool      `bun:"enabled"`
	UnixID        int       `bun:"unix_id"`
	NTHash        string    `bun:"nt_hash"` // sealed
	PasswordSetAt time.Time `bun:"password_set_at"`
	Search        string    `bun:"search"`
}

func (r *userRow) meta() object.Meta {
	return object.Meta{UID: r.UID, Generation: r.Generation, Revision: r.Revision, CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC()}
}

func (r *userRow) index() {
	r.Search = strings.ToLower(r.Name + " " + r.FullName + " " + strconv.Itoa(r.UnixID))
}

type groupRow struct {
	bun.BaseModel `bun:"table:identity_group"`
	UID           string    `bun:"uid,pk"`
	Generation    int64     `bun:"generation"`
	Revision      int64     `bun:"revision"`
	CreatedAt     time.Time `bun:"created_at"`
	UpdatedAt     time.Time `bun:"updated_at"`
	Name          string    `bun:"name"`
	UnixID        int       `bun:"unix_id"`
	Search        string    `bun:"search"`
}

func (r *groupRow) meta() object.Meta {
	return object.Meta{UID: r.UID, Generation: r.Generation, Revision: r.Revision, CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC()}
}

type memberRow struct {
	bun.BaseModel `bun:"table:identity_member"`
	GroupUID      string `bun:"group_uid,pk"`
	UserUID       string `bun:"user_uid,pk"`
}

// row reads one row of a kind by UID into dest.
func (s *Service) row(ctx context.Context, kind, uid string, dest any) error {
	err := s.DB.Conn(ctx).NewSelect().Model(dest).Where("uid = ?", uid).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return problem.NotFound(kind, uid)
	}
	return err
}

// replace writes a row whose revision in the store must still be the one before.
func (s *Service) replace(ctx context.Context, row any, revision int64) error {
	res, err := s.DB.Conn(ctx).NewUpdate().Model(row).WherePK().Where("revision = ?", revision-1).Exec(ctx)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, problem.Stale())
	}
	return nil
}

// remove deletes a row that must still be at this revision; its memberships go with it.
func (s *Service) remove(ctx context.Context, row any, revision int64) error {
	res, err := s.DB.Conn(ctx).NewDelete().Model(row).WherePK().Where("revision = ?", revision).Exec(ctx)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, problem.Stale())
	}
	return nil
}

// claim takes a name and its Unix id for a new object.
func (s *Service) claim(ctx context.Context, kind, uid, name string) (id int, err error) {
	conn := s.DB.Conn(ctx)
	// DO NOTHING, because an error would end the transaction on PostgreSQL, and an import goes on behind a taken name.
	res, err := conn.NewRaw("INSERT INTO identity_name (name, uid) VALUES (?, ?) ON CONFLICT DO NOTHING", name, uid).Exec(ctx)
	if err != nil {
		return 0, err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return 0, errors.Join(err, taken(kind, name))
	}
	err = conn.NewRaw("DELETE FROM identity_past WHERE kind = ? AND name = ? RETURNING unix_id", kind, name).Scan(ctx, &id)
	if !errors.Is(err, sql.ErrNoRows) {
		return id, err
	}
	first, last := desired.FirstUserID, desired.LastUserID
	if kind == kindGroup {
		first, last = desired.FirstGroupID, desired.LastGroupID
	}
	err = conn.NewRaw(`INSERT INTO identity_next AS n (kind, id) VALUES (?, ?)
		ON CONFLICT (kind) DO UPDATE SET id = n.id + 1 RETURNING id - 1`, kind, first+1).Scan(ctx, &id)
	if err == nil && id > last {
		// An import goes on behind this line, so it must not leave the name taken.
		_, err = conn.NewRaw("DELETE FROM identity_name WHERE uid = ?", uid).Exec(ctx)
		return 0, errors.Join(err, exhausted(kind))
	}
	return id, err
}

// release gives up a name; its Unix id stays kept for the same name.
func (s *Service) release(ctx context.Context, kind, uid, name string, id int) error {
	conn := s.DB.Conn(ctx)
	if _, err := conn.NewRaw("DELETE FROM identity_name WHERE uid = ?", uid).Exec(ctx); err != nil {
		return err
	}
	_, err := conn.NewRaw("INSERT INTO identity_past (kind, name, unix_id) VALUES (?, ?, ?)", kind, name, id).Exec(ctx)
	return err
}

func table(kind string) bun.Ident { return bun.Ident("identity_" + kind) }

// uidsByName returns the UIDs of those names that exist.
func (s *Service) uidsByName(ctx context.Context, kind string, names []string) (map[string]string, error) {
	out := map[string]string{}
	for len(names) > 0 {
		part := names[:min(len(names), batch)]
		names = names[len(part):]
		var rows []struct{ Name, UID string }
		if err := s.DB.Conn(ctx).NewRaw("SELECT name, uid FROM ? WHERE name IN (?)", table(kind), bun.List(part)).Scan(ctx, &rows); err != nil {
			return nil, err
		}
		for _, r := range rows {
			out[r.Name] = r.UID
		}
	}
	return out, nil
}

// membersOf returns, by the UID of each of these objects of a kind, the names on the other side: a user's groups, a
// group's members, in order. Without uids: of all.
func (s *Service) membersOf(ctx context.Context, kind string, uids ...string) (map[string][]string, error) {
	self, other := "m.user_uid", kindGroup
	if kind == kindGroup {
		self, other = "m.group_uid", kindUser
	}
	out := map[string][]string{}
	read := func(part []string) error {
		var rows []struct{ UID, Name string }
		q := s.DB.Conn(ctx).NewSelect().TableExpr("identity_member AS m").
			Join("JOIN ? AS o ON o.uid = ?", table(other), bun.Ident("m."+other+"_uid")).
			ColumnExpr("? AS uid", bun.Ident(self)).ColumnExpr("o.name AS name").OrderExpr("o.name")
		if part != nil {
			q = q.Where("? IN (?)", bun.Ident(self), bun.List(part))
		}
		if err := q.Scan(ctx, &rows); err != nil {
			return err
		}
		for _, r := range rows {
			out[r.UID] = append(out[r.UID], r.Name)
		}
		return nil
	}
	if uids == nil {
		return out, read(nil)
	}
	for len(uids) > 0 {
		part := uids[:min(len(uids), batch)]
		uids = uids[len(part):]
		if err := read(part); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// touch gives the objects whose membership was changed from the other side a new generation and tells so. It returns a
// problem if one of them is gone.
func (s *Service) touch(ctx context.Context, kind string, uids []string) error {
	for len(uids) > 0 {
		part := uids[:min(len(uids), batch)]
		uids = uids[len(part):]
		var rows []struct {
			UID, Name string
			Revision  int64
		}
		err := s.DB.Conn(ctx).NewRaw(`UPDATE ? SET revision = revision + 1, generation = generation + 1, updated_at = ?
			WHERE uid IN (?) RETURNING uid, name, revision`, table(kind), s.Clock.Now(), bun.List(part)).Scan(ctx, &rows)
		if err != nil {
			return err
		}
		if len(rows) < len(part) {
			return problem.Stale()
		}
		events := make([]event.Event, len(rows))
		for i, r := range rows {
			events[i] = event.Event{Type: kind + ".changed", Kind: kind, UID: r.UID, Name: r.Name, Revision: r.Revision, Scopes: []string{event.AllNodes}}
		}
		if err := s.Events.Append(ctx, events...); err != nil {
			return err
		}
	}
	return nil
}

// setMembers makes add members and removes others, between one object of a kind and objects of the other kind.
func (s *Service) setMembers(ctx context.Context, kind, uid string, add, remove []string) error {
	pair := func(other string) memberRow {
		if kind == kindGroup {
			return memberRow{GroupUID: uid, UserUID: other}
		}
		return memberRow{GroupUID: other, UserUID: uid}
	}
	self, other := bun.Ident("user_uid"), bun.Ident("group_uid")
	if kind == kindGroup {
		self, other = other, self
	}
	for len(add) > 0 {
		part := add[:min(len(add), batch)]
		add = add[len(part):]
		rows := make([]memberRow, len(part))
		for i, o := range part {
			rows[i] = pair(o)
		}
		if _, err := s.DB.Conn(ctx).NewInsert().Model(&rows).On("CONFLICT DO NOTHING").Exec(ctx); err != nil {
			return err
		}
	}
	for len(remove) > 0 {
		part := remove[:min(len(remove), batch)]
		remove = remove[len(part):]
		if _, err := s.DB.Conn(ctx).NewRaw("DELETE FROM identity_member WHERE ? = ? AND ? IN (?)", self, uid, other, bun.List(part)).Exec(ctx); err != nil {
			return err
		}
	}
	return nil
}

// memberUIDs returns the UIDs on the other side of one object of a kind.
func (s *Service) memberUIDs(ctx context.Context, kind, uid string) ([]string, error) {
	self, other := bun.Ident("user_uid"), bun.Ident("group_uid")
	if kind == kindGroup {
		self, other = other, self
	}
	var uids []string
	err := s.DB.Conn(ctx).NewRaw("SELECT ? FROM identity_member WHERE ? = ? ORDER BY 1", other, self, uid).Scan(ctx, &uids)
	return uids, err
}
