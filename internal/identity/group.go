package identity

import (
	"context"
	"slices"
	"strconv"

	"github.com/pve-smb-gateway/smbgw/internal/db"
	"github.com/pve-smb-gateway/smbgw/internal/object"
	"github.com/pve-smb-gateway/smbgw/internal/problem"
)

var groupFields = db.Fields{
	Columns: map[string]string{"name": "name", "id": "unix_id", "createdAt": "created_at", "updatedAt": "updated_at"},
	Search:  []string{"search"}, Default: "name", UID: "uid",
}

// ListGroups returns one page of groups.
func (s *Service) ListGroups(ctx context.Context, q db.ListQuery) (db.Page[Group], error) {
	var page db.Page[Group]
	err := s.DB.Read(ctx, func(ctx context.Context) error {
		var rows []groupRow
		next, total, err := db.List(ctx, s.DB.Conn(ctx).NewSelect().Model(&rows), groupFields, q, &rows, func(r *groupRow, field string) any {
			switch field {
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
		uids := make([]string, len(rows))
		for i := range rows {
			uids[i] = rows[i].UID
		}
		members, err := s.membersOf(ctx, kindGroup, uids...)
		if err != nil {
			return err
		}
		page = db.Page[Group]{Items: make([]Group, len(rows)), NextCursor: next, Total: total}
		for i := range rows {
			page.Items[i] = rows[i].group(members[rows[i].UID])
		}
		return nil
	})
	return page, err
}

// GetGroup returns one group.
func (s *Service) GetGroup(ctx context.Context, uid string) (Group, error) {
	var g Group
	err := s.DB.Read(ctx, func(ctx context.Context) error {
		var row groupRow
		err := s.row(ctx, kindGroup, uid, &row)
		if err == nil {
			g, err = s.group(ctx, row)
		}
		return err
	})
	return g, err
}

// CreateGroup creates a group.
func (s *Service) CreateGroup(ctx context.Context, spec GroupSpec) (Group, error) {
	if bad := checkName(kindGroup, spec.Name); bad != nil {
		return Group{}, problem.Invalid(*bad)
	}
	var g Group
	err := s.DB.Tx(ctx, func(ctx context.Context) error {
		uid := object.UID(ctx)
		var row groupRow
		if err := s.row(ctx, kindGroup, uid, &row); err == nil {
			// The same request was here before, but its answer was lost.
			g, err = s.group(ctx, row)
			return err
		} else if !problem.Is(err, codeGroupNotFound) {
			return err
		}
		members, err := s.resolve(ctx, kindUser, spec.Members)
		if err != nil {
			return err
		}
		id, err := s.claim(ctx, kindGroup, uid, spec.Name)
		if err != nil {
			return err
		}
		m := s.newMeta(uid)
		row = groupRow{
			UID: uid, Generation: m.Generation, Revision: m.Revision, CreatedAt: m.CreatedAt, UpdatedAt: m.UpdatedAt,
			Name: spec.Name, UnixID: id, Search: spec.Name + " " + strconv.Itoa(id),
		}
		if _, err := s.DB.Conn(ctx).NewInsert().Model(&row).Exec(ctx); err != nil {
			return err
		}
		if err := s.touch(ctx, kindUser, members); err != nil {
			return err
		}
		if err := s.setMembers(ctx, kindGroup, uid, members, nil); err != nil {
			return err
		}
		if g, err = s.group(ctx, row); err != nil {
			return err
		}
		return s.record(ctx, "group.created", kindGroup, g.Meta, g.Name, nil, g.audit())
	})
	return g, err
}

// UpdateGroup replaces the spec of a group. It changes and records nothing if nothing differs.
func (s *Service) UpdateGroup(ctx context.Context, uid, ifMatch string, spec GroupSpec) (Group, error) {
	var g Group
	err := s.DB.Tx(ctx, func(ctx context.Context) error {
		var row groupRow
		if err := s.row(ctx, kindGroup, uid, &row); err != nil {
			return err
		}
		if err := row.meta().Match(ifMatch); err != nil {
			return err
		}
		if spec.Name != row.Name {
			return immutable(kindGroup, row.Name)
		}
		before, err := s.group(ctx, row)
		if err != nil {
			return err
		}
		members, err := s.resolve(ctx, kindUser, spec.Members)
		if err != nil {
			return err
		}
		old, err := s.memberUIDs(ctx, kindGroup, uid)
		if err != nil {
			return err
		}
		add, remove := difference(members, old), difference(old, members)
		if len(add)+len(remove) == 0 {
			g = before
			return nil
		}
		row.Generation, row.Revision, row.UpdatedAt = row.Generation+1, row.Revision+1, s.Clock.Now()
		if err := s.replace(ctx, &row, row.Revision); err != nil {
			return err
		}
		if err := s.touch(ctx, kindUser, slices.Concat(add, remove)); err != nil {
			return err
		}
		if err := s.setMembers(ctx, kindGroup, uid, add, remove); err != nil {
			return err
		}
		if g, err = s.group(ctx, row); err != nil {
			return err
		}
		return s.record(ctx, "group.changed", kindGroup, g.Meta, g.Name, before.audit(), g.audit())
	})
	return g, err
}

// DeleteGroup deletes a group that no share names, or any with force. Its members stay.
func (s *Service) DeleteGroup(ctx context.Context, uid, ifMatch string, force bool) error {
	return s.DB.Tx(ctx, func(ctx context.Context) error {
		var row groupRow
		if err := s.row(ctx, kindGroup, uid, &row); err != nil {
			return err
		}
		if err := row.meta().Match(ifMatch); err != nil {
			return err
		}
		if err := s.free(ctx, kindGroup, "@"+row.Name, force); err != nil {
			return err
		}
		before, err := s.group(ctx, row)
		if err != nil {
			return err
		}
		members, err := s.memberUIDs(ctx, kindGroup, uid)
		if err != nil {
			return err
		}
		if err := s.remove(ctx, &row, row.Revision); err != nil {
			return err
		}
		if err := s.release(ctx, kindGroup, uid, row.Name, row.UnixID); err != nil {
			return err
		}
		if err := s.touch(ctx, kindUser, members); err != nil {
			return err
		}
		return s.record(ctx, "group.deleted", kindGroup, before.Meta, before.Name, before.audit(), nil)
	})
}

func (s *Service) group(ctx context.Context, row groupRow) (Group, error) {
	members, err := s.membersOf(ctx, kindGroup, row.UID)
	return row.group(members[row.UID]), err
}

func (r *groupRow) group(members []string) Group {
	return Group{Meta: r.meta(), Name: r.Name, ID: r.UnixID, Members: orEmpty(members)}
}
