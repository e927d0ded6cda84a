package task

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/event"
	"github.com/pve-smb-gateway/smbgw/internal/logx"
	"github.com/pve-smb-gateway/smbgw/internal/object"
	"github.com/pve-smb-gateway/smbgw/internal/problem"
)

// slots is how many tasks one server runs at the same time.
const slots = 2

// maxAttempts is how often a task may stop without having done a step.
const maxAttempts = 5

// errLost means that this worker no longer holds the task: it was cancelled, or another server has taken it.
var errLost = errors.New("task: no longer held by this server")

// Run runs tasks until ctx ends, and returns when the last of them has stopped. Tasks that did not finish go on after the
// next start.
func (s *Service) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for range slots {
		wg.Go(func() { s.loop(ctx) })
	}
	wg.Wait()
}

func (s *Service) loop(ctx context.Context) {
	poll := time.NewTicker(s.Poll)
	defer poll.Stop()
	for ctx.Err() == nil {
		ran, err := s.next(ctx)
		if err != nil && ctx.Err() == nil {
			s.Log.ErrorContext(ctx, "looking for tasks failed", slog.Any("error", err))
		}
		if ran && err == nil {
			continue
		}
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-poll.C:
		}
	}
}

// next takes one task and runs it; false if there is none.
func (s *Service) next(ctx context.Context) (bool, error) {
	now := s.Clock.Now()
	r, err := s.store.due(ctx, slices.Collect(maps.Keys(s.handlers)), now)
	if err != nil || r == nil {
		return false, err
	}
	holder := object.NewUID()
	held := false
	err = s.DB.Tx(ctx, func(ctx context.Context) error {
		held, err = s.store.hold(ctx, r, holder, now, now.Add(s.Lease))
		if err != nil || !held {
			return err
		}
		return s.changed(ctx, r)
	})
	if err != nil || !held {
		return err == nil, err // somebody else was faster: look for another
	}
	r.Holder, r.State = holder, Running
	r.Attempt++
	return true, s.run(ctx, r)
}

// run runs a task that this server holds.
func (s *Service) run(parent context.Context, r *row) error {
	base := event.WithActor(logx.WithRequestID(parent, r.RequestID), r.actor())
	ctx, cancel := context.WithCancel(base)
	defer cancel()
	s.mu.Lock()
	s.running[r.UID] = cancel
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.running, r.UID)
		s.mu.Unlock()
	}()
	beating := make(chan struct{})
	go func() {
		defer close(beating)
		s.heartbeat(ctx, cancel, r)
	}()
	var err error
	if r.Attempt > maxAttempts {
		err = problem.New(500, problem.CodeInternal, fmt.Sprintf("The task stopped %d times without getting on. The server's log says why; then start it again.", maxAttempts))
	} else {
		err = s.handle(ctx, r)
	}
	cancel()
	<-beating
	// The end is written even while the server stops.
	end, endCancel := context.WithTimeout(context.WithoutCancel(base), 10*time.Second)
	defer endCancel()
	return s.settle(end, r, err, parent.Err() != nil)
}

func (s *Service) handle(ctx context.Context, r *row) (err error) {
	defer func() {
		if v := recover(); v != nil {
			s.Log.ErrorContext(ctx, "panic in a task", slog.String("kind", r.Kind), slog.String("value", fmt.Sprint(v)), slog.String("stack", string(debug.Stack())))
			err = problem.Internal(fmt.Errorf("panic: %v", v))
		}
	}()
	payload, err := s.Sealer.Unseal(r.Payload, purpose(r.UID))
	if err != nil {
		return problem.Internal(err)
	}
	return s.handlers[r.Kind](ctx, &Run{s: s, row: r, payload: payload})
}

// settle writes how an attempt ended.
func (s *Service) settle(ctx context.Context, r *row, err error, stopping bool) error {
	if err == nil || !stopping {
		err = s.explain(ctx, r, err)
	}
	return s.DB.Tx(ctx, func(ctx context.Context) error {
		now := s.Clock.Now()
		var p *problem.Error
		switch {
		case errors.Is(err, errLost):
			return nil
		case err == nil:
			return s.end(ctx, r, Done, summary(r), now)
		case stopping:
			return s.store.release(ctx, r.UID, r.Holder, "The server was stopped; the task goes on when it is back.", now, true)
		case errors.As(err, &p) && !p.Retryable:
			return s.end(ctx, r, Failed, p.Detail, now)
		case r.Attempt >= maxAttempts:
			return s.end(ctx, r, Failed, fmt.Sprintf("The task failed %d times. The server's log says why; then start it again.", maxAttempts), now)
		}
		wait := min(time.Second<<(r.Attempt-1), time.Minute)
		return s.store.release(ctx, r.UID, r.Holder, "An attempt failed; it is tried again in a moment.", now.Add(wait), false)
	})
}

// explain finds out whether err comes from the task having been taken away, and logs it otherwise.
func (s *Service) explain(ctx context.Context, r *row, err error) error {
	if err == nil || errors.Is(err, errLost) {
		return err
	}
	if now, getErr := s.store.get(ctx, r.UID); getErr == nil && (now.Holder != r.Holder || now.State != Running) {
		return errLost
	}
	s.Log.WarnContext(ctx, "task failed", slog.String("kind", r.Kind), slog.String("uid", r.UID), slog.Int("attempt", r.Attempt), slog.Any("error", err))
	return err
}

func (s *Service) end(ctx context.Context, r *row, state State, message string, now time.Time) error {
	ok, err := s.store.finish(ctx, r.UID, r.Holder, state, message, now)
	if err != nil || !ok {
		return err
	}
	var t Task
	return s.ended(ctx, "task."+string(state), r, &t)
}

func summary(r *row) string {
	if r.Failed > 0 {
		return fmt.Sprintf("%d of %d done, %d could not be done: see the items.", r.Done-r.Failed, r.Done, r.Failed)
	}
	return fmt.Sprintf("All %d done.", r.Done)
}

// heartbeat keeps the hold until ctx ends. When the hold is lost, it ends the run.
func (s *Service) heartbeat(ctx context.Context, cancel context.CancelFunc, r *row) {
	tick := time.NewTicker(s.Lease / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		ok := true
		err := s.DB.Tx(ctx, func(ctx context.Context) (err error) {
			ok, err = s.store.keep(ctx, r.UID, r.Holder, s.Clock.Now().Add(s.Lease))
			return err
		})
		if err != nil && ctx.Err() == nil {
			s.Log.WarnContext(ctx, "a task's hold could not be extended", slog.String("uid", r.UID), slog.Any("error", err))
		} else if !ok {
			cancel()
			return
		}
	}
}
