package identity

import (
	"context"
	"slices"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/db"
	"github.com/pve-smb-gateway/smbgw/internal/event"
	"github.com/pve-smb-gateway/smbgw/internal/object"
	"github.com/pve-smb-gateway/smbgw/internal/problem"
	"github.com/pve-smb-gateway/smbgw/internal/samba/nthash"
)

var userFields = db.Fields{
	Columns: map[string]string{
		"name": "name", "fullName": "full_name", "enabled": "enabled", "id": "unix_id", "createdAt": "created_at", "updatedAt": "updated_at",
	},
	Search: []string{"search"}, Default: "name", UID: "uid",
}

// ListUsers returns one page of users.
func (s *Service) ListUsers(ctx context.Context, q db.ListQuery) (db.Page[User], error) {
	var page db.Page[User]
	err := s.DB.Read(ctx, func(ctx context.Context) error {
		var rows []userRow
		next, total, err := db.List(ctx, s.DB.Conn(ctx).NewSelect().Model(&rows), userFields, q, &rows, func(r *userRow, field string) any {
			switch field {
			case "fullName":
				return r.FullName
			case "enabled":
				return r.Enabled
			case "id":
				return r.UnixID
			case "createdAt":
				return r.CreatedAt
			case "updatedAt":
				return r.UpdatedAt
			case "uid":
				return r.UID
			}
			return r.Name
		})
		if err != nil {
			return err
		}
		users, err := s.users(ctx, rows)
		page = db.Page[User]{Items: users, NextCursor: next, Total: total}
		return err
	})
	return page, err
}

// GetUser returns one user.
func (s *Service) GetUser(ctx context.Context, uid string) (User, error) {
	var u User
	err := s.DB.Read(ctx, func(ctx context.Context) error {
		var row userRow
		err := s.row(ctx, kindUser, uid, &row)
		if err == nil {
			u, err = s.user(ctx, row)
		}
		return err
	})
	return u, err
}

// CreateUser creates a user.
func (s *Service) CreateUser(ctx context.Context, spec UserSpec) (User, error) {
	hash, err := checked(spec, true)
	if err != nil {
		return User{}, err
	}
	var u User
	err = s.DB.Tx(ctx, func(ctx context.Context) error {
		uid := object.UID(ctx)
		var first userRow
		if err := s.row(ctx, kindUser, uid, &first); err == nil {
			// The same request was here before, but its answer was lost.
			u, err = s.user(ctx, first)
			return err
		} else if !problem.Is(err, codeUserNotFound) {
			return err
		}
		var err error
		u, err = s.insertUser(ctx, uid, spec, hash)
		return err
	})
	return u, err
}

// insertUser writes a new user whose spec has been checked, in the transaction that ctx carries. hash is the NT hash of the
// password, "" without one; spec.Password is not looked at. Problems come before the first write that would have to be
// taken back.
func (s *Service) insertUser(ctx context.Context, uid string, spec UserSpec, hash string) (User, error) {
	groups, err := s.resolve(ctx, kindGroup, spec.Groups)
	if err != nil {
		return User{}, err
	}
	id, err := s.claim(ctx, kindUser, uid, spec.Name)
	if err != nil {
		return User{}, err
	}
	m := s.newMeta(uid)
	row := userRow{
		UID: uid, Generation: m.Generation, Revision: m.Revision, CreatedAt: m.CreatedAt, UpdatedAt: m.UpdatedAt,
		Name: spec.Name, FullName: spec.FullName, Enabled: enabled(spec), UnixID: id, PasswordSetAt: never,
	}
	row.index()
	if _, err := s.setHash(&row, hash, m.CreatedAt); err != nil {
		return User{}, err
	}
	if _, err := s.DB.Conn(ctx).NewInsert().Model(&row).Exec(ctx); err != nil {
		return User{}, err
	}
	if err := s.touch(ctx, kindGroup, groups); err != nil {
		return User{}, err
	}
	if err := s.setMembers(ctx, kindUser, uid, groups, nil); err != nil {
		return User{}, err
	}
	u, err := s.user(ctx, row)
	if err != nil {
		return User{}, err
	}
	return u, s.record(ctx, "user.created", kindUser, u.Meta, u.Name, nil, u.audit(hash != ""))
}

// UpdateUser replaces the spec of a user. It changes and records nothing if nothing differs.
func (s *Service) UpdateUser(ctx context.Context, uid, ifMatch string, spec UserSpec) (User, error) {
	hash, err := checked(spec, false)
	if err != nil {
		return User{}, err
	}
	var u User
	err = s.DB.Tx(ctx, func(ctx context.Context) error {
		var row userRow
		err := s.row(ctx, kindUser, uid, &row)
		if err == nil {
			err = row.meta().Match(ifMatch)
		}
		if err == nil {
			u, err = s.updateUser(ctx, row, spec, hash)
		}
		return err
	})
	return u, err
}

// updateUser changes row to a spec that has been checked, in the transaction that ctx carries. hash is the NT hash of the
// new password, "" to keep the old one; spec.Password is not looked at.
func (s *Service) updateUser(ctx context.Context, row userRow, spec UserSpec, hash string) (User, error) {
	if spec.Name != row.Name {
		return User{}, immutable(kindUser, row.Name)
	}
	before, err := s.user(ctx, row)
	if err != nil {
		return User{}, err
	}
	groups, err := s.resolve(ctx, kindGroup, spec.Groups)
	if err != nil {
		return User{}, err
	}
	old, err := s.memberUIDs(ctx, kindUser, row.UID)
	if err != nil {
		return User{}, err
	}
	add, remove := difference(groups, old), difference(old, groups)
	now := s.Clock.Now()
	newPassword, err := s.setHash(&row, hash, now)
	if err != nil {
		return User{}, err
	}
	if !newPassword && len(add)+len(remove) == 0 && row.FullName == spec.FullName && row.Enabled == enabled(spec) {
		return before, nil
	}
	row.FullName, row.Enabled = spec.FullName, enabled(spec)
	row.Generation, row.Revision, row.UpdatedAt = row.Generation+1, row.Revision+1, now
	row.index()
	if err := s.replace(ctx, &row, row.Revision); err != nil {
		return User{}, err
	}
	if err := s.touch(ctx, kindGroup, slices.Concat(add, remove)); err != nil {
		return User{}, err
	}
	if err := s.setMembers(ctx, kindUser, row.UID, add, remove); err != nil {
		return User{}, err
	}
	u, err := s.user(ctx, row)
	if err != nil {
		return User{}, err
	}
	return u, s.record(ctx, "user.changed", kindUser, u.Meta, u.Name, before.audit(false), u.audit(newPassword))
}

// DeleteUser deletes a user that no share names, or any with force. Files of the user stay.
func (s *Service) DeleteUser(ctx context.Context, uid, ifMatch string, force bool) error {
	return s.DB.Tx(ctx, func(ctx context.Context) error {
		var row userRow
		if err := s.row(ctx, kindUser, uid, &row); err != nil {
			return err
		}
		if err := row.meta().Match(ifMatch); err != nil {
			return err
		}
		if err := s.free(ctx, kindUser, row.Name, force); err != nil {
			return err
		}
		before, err := s.user(ctx, row)
		if err != nil {
			return err
		}
		groups, err := s.memberUIDs(ctx, kindUser, uid)
		if err != nil {
			return err
		}
		if err := s.remove(ctx, &row, row.Revision); err != nil {
			return err
		}
		if err := s.release(ctx, kindUser, uid, row.Name, row.UnixID); err != nil {
			return err
		}
		if err := s.touch(ctx, kindGroup, groups); err != nil {
			return err
		}
		return s.record(ctx, "user.deleted", kindUser, before.Meta, before.Name, before.audit(false), nil)
	})
}

func checkUser(spec UserSpec, isNew bool) error {
	var fields []problem.Field
	add := func(f *problem.Field) {
		if f != nil {
			fields = append(fields, *f)
		}
	}
	if isNew { // an old name is compared, not judged: rules may have become stricter
		add(checkName(kindUser, spec.Name))
	}
	add(checkFullName(spec.FullName))
	if spec.Password != nil {
		add(checkPassword(*spec.Password))
	}
	return problem.Invalid(fields...)
}

// checked checks spec and returns the NT hash of its password, "" without one. It needs no store.
func checked(spec UserSpec, isNew bool) (hash string, err error) {
	if err := checkUser(spec, isNew); err != nil || spec.Password == nil {
		return "", err
	}
	return nthash.Sum(*spec.Password), nil
}

func enabled(spec UserSpec) bool { return spec.Enabled == nil || *spec.Enabled }

func purpose(uid string) string { return "identity.user." + uid }

// setHash puts a new NT hash, sealed, into row and reports whether it differs from the one before. "" changes nothing.
func (s *Service) setHash(row *userRow, hash string, now time.Time) (changed bool, err error) {
	if hash == "" {
		return false, nil
	}
	if row.NTHash != "" {
		old, err := s.Sealer.Unseal(row.NTHash, purpose(row.UID))
		if err != nil || old == hash {
			return false, err
		}
	}
	row.NTHash, row.PasswordSetAt = s.Sealer.Seal(hash, purpose(row.UID)), now
	return true, nil
}

func (s *Service) user(ctx context.Context, row userRow) (User, error) {
	users, err := s.users(ctx, []userRow{row})
	if err != nil {
		return User{}, err
	}
	return users[0], nil
}

// users adds to rows what other tables know of them.
func (s *Service) users(ctx context.Context, rows []userRow) ([]User, error) {
	uids := make([]string, len(rows))
	for i := range rows {
		uids[i] = rows[i].UID
	}
	groups, err := s.membersOf(ctx, kindUser, uids...)
	if err != nil {
		return nil, err
	}
	status, err := s.conditions(ctx, uids)
	if err != nil {
		return nil, err
	}
	out := make([]User, len(rows))
	for i := range rows {
		r := &rows[i]
		out[i] = User{
			Meta: r.meta(), Name: r.Name, FullName: r.FullName, Enabled: r.Enabled, PasswordSet: r.NTHash != "", ID: r.UnixID,
			Groups: orEmpty(groups[r.UID]), Status: Status{Conditions: status[r.UID]},
		}
	}
	return out, nil
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func (s *Service) record(ctx context.Context, action, kind string, m object.Meta, name string, before, after any) error {
	return s.Recorder.Record(ctx, event.Change{
		Action: action, Kind: kind, UID: m.UID, Name: name, Revision: m.Revision, Before: before, After: after, Scopes: []string{event.AllNodes},
	})
}
