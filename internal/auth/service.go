package auth

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/clock"
	"github.com/pve-smb-gateway/smbgw/internal/db"
	"github.com/pve-smb-gateway/smbgw/internal/event"
	"github.com/pve-smb-gateway/smbgw/internal/problem"
)

// How long things last.
const (
	SetupValid   = 15 * time.Minute   // the code of the first set-up
	SessionIdle  = 12 * time.Hour     // a session without requests
	SessionLife  = 7 * 24 * time.Hour // a session at the longest
	touchSession = 5 * time.Minute    // how exactly its last use is known
	touchToken   = time.Minute
	auditToken   = 24 * time.Hour // how often the use of a token is audited while its address stays the same
)

// Trail is what this room needs of the room audit: a row for what is no change of an object, such as a login.
type Trail interface {
	Append(ctx context.Context, c event.Change) error
}

// Service holds the rules of this room. It is safe for concurrent use.
type Service struct {
	db       *db.DB
	store    store
	clock    clock.Clock
	log      *slog.Logger
	trail    Trail
	recorder event.Recorder
	hasher   *hasher
	// Guesses of passwords and set-up codes, by account name and by network address.
	byName, byAddr *limiter
	// failures bounds how many failed attempts reach the trail.
	failures *limiter
}

// NewService returns the room over its neighbours. Limits of guesses are kept in memory, so each process counts its own.
func NewService(d *db.DB, c clock.Clock, log *slog.Logger, trail Trail, r event.Recorder) *Service {
	return &Service{
		db: d, store: store{d}, clock: c, log: log, trail: trail, recorder: r, hasher: newHasher(current),
		byName: newLimiter(c, 10, 30*time.Second), byAddr: newLimiter(c, 20, 10*time.Second), failures: newLimiter(c, 60, 10*time.Second),
	}
}

// attempt counts a guess for the account name from the visitor's address, before any costly work. Call done with
// true when it was no guess after all.
func (s *Service) attempt(ctx context.Context, name string) (done func(success bool), err error) {
	addr, key := network(visitOf(ctx).addr), nameKey(name)
	wait := s.byAddr.take(addr)
	if wait == 0 {
		if wait = s.byName.take(key); wait > 0 {
			s.byAddr.giveBack(addr)
		}
	}
	if wait > 0 {
		e := problem.New(http.StatusTooManyRequests, problem.CodeRateLimited, "Too many failed attempts. Wait, then try again.")
		e.Retryable, e.RetryAfter = true, wait
		return nil, e
	}
	return func(success bool) {
		if success {
			s.byAddr.giveBack(addr)
			s.byName.giveBack(key)
		}
	}, nil
}

// failed writes a failed attempt to the trail, unless there are too many. It never keeps the attempt from being refused.
func (s *Service) failed(ctx context.Context, c event.Change) {
	if s.failures.take("") > 0 {
		s.log.WarnContext(ctx, "failed attempt, not audited because there are too many", slog.String("action", c.Action), slog.String("remoteAddr", visitOf(ctx).addr))
		return
	}
	err := s.db.Tx(context.WithoutCancel(ctx), func(ctx context.Context) error { return s.trail.Append(ctx, c) })
	if err != nil {
		s.log.ErrorContext(ctx, "a failed attempt could not be audited", slog.String("action", c.Action), slog.Any("error", err))
	}
}

// Prune forgets sessions that have ended. Call it now and then.
func (s *Service) Prune(ctx context.Context) error {
	return s.db.Tx(ctx, func(ctx context.Context) error { return s.store.pruneSessions(ctx, s.clock.Now()) })
}
