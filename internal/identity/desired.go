package identity

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"

	"github.com/pve-smb-gateway/smbgw/internal/desired"
	"github.com/pve-smb-gateway/smbgw/internal/event"
	"github.com/pve-smb-gateway/smbgw/internal/object"
	"github.com/uptrace/bun"
)

var (
	_ desired.Contributor = (*Service)(nil)
	_ desired.Observer    = (*Service)(nil)
)

// Contribute adds all users and groups: every node gets all of them.
func (s *Service) Contribute(ctx context.Context, _ string, snap *desired.Snapshot) error {
	conn := s.DB.Conn(ctx)
	var users []userRow
	if err := conn.NewSelect().Model(&users).Order("name").Scan(ctx); err != nil {
		return err
	}
	for i := range users {
		u := &users[i]
		d := desired.User{UID: u.UID, Name: u.Name, Generation: u.Generation, ID: u.UnixID, FullName: u.FullName, Enabled: u.Enabled, PasswordSetAt: u.PasswordSetAt.UTC()}
		if u.NTHash != "" {
			hash, err := s.Sealer.Unseal(u.NTHash, purpose(u.UID))
			if err != nil {
				return err
			}
			d.NTHash = hash
		}
		snap.Users = append(snap.Users, d)
	}
	var groups []groupRow
	if err := conn.NewSelect().Model(&groups).Order("name").Scan(ctx); err != nil {
		return err
	}
	members, err := s.membersOf(ctx, kindGroup)
	if err != nil {
		return err
	}
	for i := range groups {
		g := &groups[i]
		snap.Groups = append(snap.Groups, desired.Group{UID: g.UID, Name: g.Name, Generation: g.Generation, ID: g.UnixID, Members: members[g.UID]})
	}
	return nil
}

type statusRow struct {
	bun.BaseModel `bun:"table:identity_status"`
	UserUID       string `bun:"user_uid,pk"`
	NodeUID       string `bun:"node_uid,pk"`
	Conditions    string `bun:"conditions"`
}

// Observe keeps what a node reports of users. Reports of an old generation or an unknown UID are ignored, and nothing is
// written when nothing differs.
func (s *Service) Observe(ctx context.Context, r *desired.Report) error {
	reported := map[string]desired.ObjectReport{}
	for _, o := range r.Objects {
		if o.Kind == desired.KindUser {
			reported[o.UID] = o
		}
	}
	if len(reported) == 0 {
		return nil
	}
	conn := s.DB.Conn(ctx)
	var current []struct {
		UID, Name            string
		Generation, Revision int64
		Conditions           string
	}
	err := conn.NewRaw(`SELECT u.uid, u.name, u.generation, u.revision, COALESCE(s.conditions, '[]') AS conditions FROM identity_user u
		LEFT JOIN identity_status s ON s.user_uid = u.uid AND s.node_uid = ?`, r.NodeUID).Scan(ctx, &current)
	if err != nil {
		return err
	}
	var changed []statusRow
	var events []event.Event
	for _, c := range current {
		o, ok := reported[c.UID]
		if !ok || o.ObservedGeneration != c.Generation {
			continue
		}
		var old []object.Condition
		if err := json.Unmarshal([]byte(c.Conditions), &old); err != nil {
			return err
		}
		if slices.EqualFunc(old, o.Conditions, same) {
			continue
		}
		text, err := json.Marshal(o.Conditions)
		if err != nil {
			return err
		}
		changed = append(changed, statusRow{UserUID: c.UID, NodeUID: r.NodeUID, Conditions: string(text)})
		events = append(events, event.Event{Type: "user.status", Kind: kindUser, UID: c.UID, Name: c.Name, Revision: c.Revision})
	}
	for part := range slices.Chunk(changed, batch) {
		if _, err := conn.NewInsert().Model(&part).On("CONFLICT (user_uid, node_uid) DO UPDATE").Set("conditions = EXCLUDED.conditions").Exec(ctx); err != nil {
			return err
		}
	}
	return s.Events.Append(ctx, events...)
}

// same compares conditions without their time: only a change of what they say is news.
func same(a, b object.Condition) bool {
	a.LastTransitionAt = b.LastTransitionAt
	return a == b
}

// ForgetNode drops what a node has reported, in the transaction that ctx carries; call it when the node is removed.
func (s *Service) ForgetNode(ctx context.Context, nodeUID string) error {
	_, err := s.DB.Conn(ctx).NewRaw("DELETE FROM identity_status WHERE node_uid = ?", nodeUID).Exec(ctx)
	return err
}

// conditions returns, by user, the worst value of each condition over all nodes.
func (s *Service) conditions(ctx context.Context, uids []string) (map[string][]object.Condition, error) {
	out := make(map[string][]object.Condition, len(uids))
	for _, uid := range uids {
		out[uid] = []object.Condition{}
	}
	for part := range slices.Chunk(uids, batch) {
		var rows []statusRow
		if err := s.DB.Conn(ctx).NewSelect().Model(&rows).Where("user_uid IN (?)", bun.List(part)).Order("user_uid", "node_uid").Scan(ctx); err != nil {
			return nil, err
		}
		for _, r := range rows {
			var conds []object.Condition
			if err := json.Unmarshal([]byte(r.Conditions), &conds); err != nil {
				return nil, err
			}
			for _, c := range conds {
				if old := object.Find(out[r.UserUID], c.Type); old == nil || worse(c, *old) {
					out[r.UserUID] = object.Set(out[r.UserUID], c, c.LastTransitionAt)
					object.Find(out[r.UserUID], c.Type).LastTransitionAt = c.LastTransitionAt
				}
			}
		}
	}
	return out, nil
}

// worse orders False before Unknown before True. Degraded is the one condition whose True is bad.
func worse(a, b object.Condition) bool {
	rank := func(c object.Condition) int {
		good, bad := object.True, object.False
		if c.Type == object.Degraded {
			good, bad = bad, good
		}
		switch c.Status {
		case bad:
			return 0
		case good:
			return 2
		}
		return 1
	}
	return cmp.Less(rank(a), rank(b))
}
