package auth

import (
	"context"

	"github.com/pve-smb-gateway/smbgw/internal/db"
	"github.com/pve-smb-gateway/smbgw/internal/event"
	"github.com/pve-smb-gateway/smbgw/internal/object"
)

func (s *Service) sessionPrincipal(r *sessionRow, a *accountRow) *principal {
	return &principal{accountUID: a.UID, sessionUID: r.UID, name: a.Name, role: a.Role, privileges: a.Role.Privileges(), foundAt: s.clock.Now()}
}

// meta is that of an object that never changes.
func (r *sessionRow) meta() object.Meta {
	return object.Meta{UID: r.UID, Generation: 1, Revision: 1, CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.CreatedAt.UTC()}
}

var sessionFields = db.Fields{
	Columns: map[string]string{"lastSeenAt": "last_seen_at", "createdAt": "created_at", "expiresAt": "expires_at", "remoteAddr": "remote_addr"},
	Search:  []string{"remote_addr"}, Default: "-lastSeenAt", UID: "uid",
}

// Sessions returns the sessions of whoever is logged in, that last used first.
func (s *Service) Sessions(ctx context.Context, q db.ListQuery) (page db.Page[Session], err error) {
	p, err := ownSession(ctx)
	if err != nil {
		return page, err
	}
	now := s.clock.Now()
	err = s.db.Read(ctx, func(ctx context.Context) error {
		var rows []sessionRow
		sel := s.db.Conn(ctx).NewSelect().Model(&rows).
			Where("account_uid = ? AND expires_at > ? AND last_seen_at > ?", p.accountUID, now, now.Add(-SessionIdle))
		next, total, err := db.List(ctx, sel, sessionFields, q, &rows, func(r *sessionRow, field string) any {
			return map[string]any{
				"uid": r.UID, "lastSeenAt": r.LastSeenAt, "createdAt": r.CreatedAt, "expiresAt": r.ExpiresAt, "remoteAddr": r.RemoteAddr,
			}[field]
		})
		if err != nil {
			return err
		}
		page = db.Page[Session]{Items: []Session{}, NextCursor: next, Total: total}
		for _, r := range rows {
			page.Items = append(page.Items, Session{
				Meta: r.meta(), Current: r.UID == p.sessionUID, RemoteAddr: r.RemoteAddr, UserAgent: r.UserAgent,
				LastSeenAt: r.LastSeenAt.UTC(), ExpiresAt: r.ExpiresAt.UTC(),
			})
		}
		return nil
	})
	return page, err
}

// EndSession ends one of the caller's own sessions.
func (s *Service) EndSession(ctx context.Context, uid, ifMatch string) error {
	p, err := ownSession(ctx)
	if err != nil {
		return err
	}
	return s.db.Tx(ctx, func(ctx context.Context) error {
		r, err := s.store.sessionOf(ctx, p.accountUID, uid)
		if err != nil {
			return err
		}
		if err := r.meta().Match(ifMatch); err != nil {
			return err
		}
		if err := s.store.deleteSession(ctx, r.UID); err != nil {
			return err
		}
		return s.trail.Append(ctx, event.Change{Action: "session.ended", Kind: "session", UID: r.UID, Name: p.name})
	})
}
