package auth

import (
	"context"
	"net/http"

	"github.com/pve-smb-gateway/smbgw/internal/event"
	"github.com/pve-smb-gateway/smbgw/internal/object"
	"github.com/pve-smb-gateway/smbgw/internal/problem"
)

// Login is a session that has just begun. Its secret goes into a cookie and nowhere else.
type Login struct {
	Me        Me
	secret    string
	row       *sessionRow
	principal *principal
}

// newLogin makes a session that is not stored yet. Its id is always new: one that a visitor brought is never taken on.
func (s *Service) newLogin(ctx context.Context, a *accountRow) Login {
	v, now, secret := visitOf(ctx), s.clock.Now(), newSecret()
	row := &sessionRow{
		UID: object.NewUID(), Hash: fingerprint(secret), AccountUID: a.UID, RemoteAddr: v.addr, UserAgent: v.userAgent,
		CreatedAt: now, LastSeenAt: now, ExpiresAt: now.Add(SessionLife),
	}
	p := s.sessionPrincipal(row, a)
	return Login{Me: p.me(), secret: secret, row: row, principal: p}
}

// begin stores the session, in the transaction of ctx. The session that the visitor came with ends.
func (s *Service) begin(ctx context.Context, l Login) error {
	if old := visitOf(ctx).session; old != "" {
		if row, _, err := s.store.session(ctx, "hash", fingerprint(old)); err != nil {
			return err
		} else if row != nil {
			if err := s.store.deleteSession(ctx, row.UID); err != nil {
				return err
			}
		}
	}
	if err := s.store.pruneSessions(ctx, s.clock.Now()); err != nil {
		return err
	}
	if err := s.store.insert(ctx, l.row); err != nil {
		return err
	}
	return s.trail.Append(ctx, event.Change{Action: "auth.logged_in", Kind: "session", UID: l.row.UID, Name: l.principal.name})
}

func loginFailed() error {
	return problem.New(http.StatusUnauthorized, CodeLoginFailed, "The name or the password is wrong.")
}

// Login checks a password and begins a session. It takes one hash, whether or not the account exists and may log in,
// so that the time tells nothing.
func (s *Service) Login(ctx context.Context, name, password string) (Login, error) {
	done, err := s.attempt(ctx, name)
	if err != nil {
		return Login{}, err
	}
	known, err := s.store.accountNamed(ctx, name)
	if err != nil {
		return Login{}, err
	}
	hash := s.hasher.nobody
	if known != nil {
		hash = known.PasswordHash
	}
	ok, stale, err := s.hasher.verify(ctx, hash, password)
	if err != nil {
		return Login{}, err
	}
	if !ok || known == nil || known.Disabled {
		// An unknown name is not written down: it may be a password in the wrong field.
		c := event.Change{Action: "auth.login_failed", Kind: "account"}
		if known != nil {
			c.UID, c.Name = known.UID, known.Name
		}
		s.failed(ctx, c)
		return Login{}, loginFailed()
	}
	fresh := known.PasswordHash
	if stale {
		if fresh, err = s.hasher.hash(ctx, password); err != nil {
			return Login{}, err
		}
	}
	login := s.newLogin(ctx, known)
	err = s.db.Tx(ctx, func(ctx context.Context) error {
		if _, err := s.store.lock(ctx); err != nil {
			return err
		}
		a, err := s.store.account(ctx, known.UID)
		if problem.Is(err, "account.not_found") {
			return loginFailed()
		}
		if err != nil {
			return err
		}
		// Changed while the password was checked: what was checked no longer counts.
		if a.Disabled || a.PasswordHash != known.PasswordHash || a.Role != known.Role {
			return loginFailed()
		}
		a.PasswordHash, a.LastLoginAt = fresh, s.clock.Now()
		if err := s.store.updateAccount(ctx, a); err != nil {
			return err
		}
		return s.begin(withPrincipal(ctx, login.principal), login)
	})
	if err != nil {
		return Login{}, err
	}
	done(true)
	return login, nil
}

// Logout ends the session of the request; for a token it does nothing.
func (s *Service) Logout(ctx context.Context) error {
	p := principalOf(ctx)
	if p.sessionUID == "" {
		return nil
	}
	return s.db.Tx(ctx, func(ctx context.Context) error {
		if err := s.store.deleteSession(ctx, p.sessionUID); err != nil {
			return err
		}
		return s.trail.Append(ctx, event.Change{Action: "auth.logged_out", Kind: "session", UID: p.sessionUID, Name: p.name})
	})
}

// ChangePassword sets the password of whoever is logged in, ends all their sessions, and begins a new one. API tokens
// go on working.
func (s *Service) ChangePassword(ctx context.Context, old, password string) (Login, error) {
	p, err := ownSession(ctx)
	if err != nil {
		return Login{}, err
	}
	known, err := s.store.account(ctx, p.accountUID)
	if err != nil {
		return Login{}, err
	}
	if bad := checkPassword("/new", known.Name, password); bad != nil {
		return Login{}, problem.Invalid(bad...)
	}
	done, err := s.attempt(ctx, known.Name)
	if err != nil {
		return Login{}, err
	}
	ok, _, err := s.hasher.verify(ctx, known.PasswordHash, old)
	if err != nil {
		return Login{}, err
	}
	if !ok {
		s.failed(ctx, event.Change{Action: "auth.password_failed", Kind: "account", UID: known.UID, Name: known.Name})
		return Login{}, problem.Invalid(problem.Field{Pointer: "/current", Code: CodePasswordWrong, Detail: "This is not your current password."})
	}
	hash, err := s.hasher.hash(ctx, password)
	if err != nil {
		return Login{}, err
	}
	login := s.newLogin(ctx, known)
	err = s.db.Tx(ctx, func(ctx context.Context) error {
		if _, err := s.store.lock(ctx); err != nil {
			return err
		}
		a, err := s.store.account(ctx, known.UID)
		if err != nil {
			return err
		}
		if a.Disabled || a.PasswordHash != known.PasswordHash {
			return problem.Stale()
		}
		before := *a
		a.PasswordHash, a.UpdatedAt = hash, s.clock.Now()
		a.Generation++
		a.Revision++
		if err := s.store.updateAccount(ctx, a); err != nil {
			return err
		}
		if err := s.recordAccount(ctx, "account.password_changed", &before, a); err != nil {
			return err
		}
		if err := s.store.deleteSessions(ctx, a.UID); err != nil {
			return err
		}
		return s.begin(ctx, login)
	})
	if err != nil {
		return Login{}, err
	}
	done(true)
	return login, nil
}
