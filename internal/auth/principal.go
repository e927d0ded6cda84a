package auth

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/event"
	"github.com/pve-smb-gateway/smbgw/internal/httpapi"
	"github.com/pve-smb-gateway/smbgw/internal/problem"
)

// principal is who a request was found to come from.
type principal struct {
	accountUID string // "" for the token of the local command line
	sessionUID string // "" for tokens
	tokenUID   string // "" for sessions
	name       string // of the account, or owner/token
	role       Role   // "" for tokens
	privileges []string
	foundAt    time.Time
}

func (p *principal) actor(v visit) event.Actor {
	if p.tokenUID != "" {
		return event.Actor{Kind: "token", UID: p.tokenUID, Name: p.name, RemoteAddr: v.addr}
	}
	return event.Actor{Kind: "account", UID: p.accountUID, Name: p.name, RemoteAddr: v.addr}
}

func (p *principal) me() Me {
	a := p.actor(visit{})
	return Me{Kind: a.Kind, UID: a.UID, Name: a.Name, Role: p.role, Privileges: p.privileges}
}

// visit is what a request says of itself, whoever it comes from.
type visit struct {
	addr      string // without port
	userAgent string
	session   string // secret of the session cookie, not yet judged
	expired   bool   // the cookie is of no session, or of one that has ended
}

type (
	principalKey struct{}
	visitKey     struct{}
)

func withPrincipal(ctx context.Context, p *principal) context.Context {
	v := visitOf(ctx)
	return event.WithActor(context.WithValue(ctx, principalKey{}, p), p.actor(v))
}

// principalOf returns who acts in ctx; someone without privileges if nobody is logged in.
func principalOf(ctx context.Context) *principal {
	if p, ok := ctx.Value(principalKey{}).(*principal); ok {
		return p
	}
	return &principal{}
}

func visitOf(ctx context.Context) visit {
	v, _ := ctx.Value(visitKey{}).(visit)
	return v
}

// Authorize returns nil if whoever acts in ctx holds the privilege, otherwise a problem: 401 without a login, 403 with one.
// It is meant for [httpapi.Options]. Streams ask it again while they run: what is older than [trustFor] is looked up anew,
// so that a logout or a revoked token ends them.
func (s *Service) Authorize(ctx context.Context, privilege string) error {
	if privilege == httpapi.Public {
		return nil
	}
	p, ok := ctx.Value(principalKey{}).(*principal)
	if ok && s.clock.Now().Sub(p.foundAt) >= trustFor {
		var err error
		if p, err = s.again(ctx, p); err != nil {
			return err
		}
	}
	switch {
	case !ok && visitOf(ctx).expired, ok && p == nil:
		return problem.New(http.StatusUnauthorized, problem.CodeUnauthenticated, "Your login has expired. Log in again.")
	case !ok:
		return problem.New(http.StatusUnauthorized, problem.CodeUnauthenticated, "Log in first, or send an API token.")
	case privilege == httpapi.LoggedIn || slices.Contains(p.privileges, privilege):
		return nil
	}
	return forbidden(fmt.Sprintf("This needs the privilege %s, which you do not hold. Ask an administrator.", privilege))
}

// trustFor is how long a request goes on with what was found out at its start.
const trustFor = 10 * time.Second

// again finds out anew who p is; nil when the login or token has ended since.
func (s *Service) again(ctx context.Context, p *principal) (*principal, error) {
	if p.sessionUID != "" {
		row, a, err := s.store.session(ctx, "uid", p.sessionUID)
		if err != nil || row == nil || row.ended(s.clock.Now()) || a.Disabled {
			return nil, err
		}
		return s.sessionPrincipal(row, a), nil
	}
	t, err := s.store.token(ctx, "uid", p.tokenUID)
	if err != nil || t == nil {
		return nil, err
	}
	fresh, refused, err := s.tokenPrincipal(ctx, t)
	if err != nil || refused {
		return nil, err
	}
	return fresh, nil
}

// ownSession returns the principal if it is a person with a session: some things a token must not do for its owner.
func ownSession(ctx context.Context) (*principal, error) {
	p := principalOf(ctx)
	if p.sessionUID == "" {
		return nil, problem.New(http.StatusForbidden, CodeSessionNeeded, "Only a person who is logged in to the console can do this, not a token.")
	}
	return p, nil
}
