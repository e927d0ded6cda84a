package task

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/clock"
	"github.com/pve-smb-gateway/smbgw/internal/db"
	"github.com/pve-smb-gateway/smbgw/internal/event"
	"github.com/pve-smb-gateway/smbgw/internal/logx"
	"github.com/pve-smb-gateway/smbgw/internal/object"
	"github.com/pve-smb-gateway/smbgw/internal/problem"
	"github.com/pve-smb-gateway/smbgw/internal/secret"
)

// CodeFinished is the code of cancelling what has ended.
const CodeFinished = "task.finished"

// Handler does the work of one kind of task. It may be started again at any time and goes on at [Run.Done]. All it
// changes, it changes in [Run.Step]. ctx ends when the task is cancelled or the server stops; it names the actor who
// started the task. A [problem.Error] ends the task as failed, its detail becomes the message; other errors are tried again.
type Handler func(ctx context.Context, run *Run) error

// Deps of a [Service]. All but the last two are needed.
type Deps struct {
	DB       *db.DB
	Clock    clock.Clock
	Events   *event.Log
	Recorder event.Recorder
	Sealer   *secret.Sealer
	Log      *slog.Logger
	// Lease is how long a task stays with a server that has stopped answering; 30 s if zero.
	Lease time.Duration
	// Poll is how often to look for tasks that another server has left; 2 s if zero.
	Poll time.Duration
}

// Service starts and runs tasks. It is safe for concurrent use.
type Service struct {
	Deps
	store    store
	handlers map[string]Handler
	wake     chan struct{}

	mu      sync.Mutex
	running map[string]context.CancelFunc // by UID, of this server
}

// New returns the room. Register all kinds before [Service.Run].
func New(o Deps) *Service {
	if o.Lease == 0 {
		o.Lease = 30 * time.Second
	}
	if o.Poll == 0 {
		o.Poll = 2 * time.Second
	}
	return &Service{
		Deps: o, store: store{o.DB}, handlers: map[string]Handler{}, wake: make(chan struct{}, slots), running: map[string]context.CancelFunc{},
	}
}

// Register names the handler of a kind, such as "user.import".
func (s *Service) Register(kind string, h Handler) { s.handlers[kind] = h }

// Start stores a task in the transaction that ctx carries, or in one of its own; it runs once that is committed. total is
// the number of items, 0 if that is not known. payload is marshalled to JSON and sealed.
func (s *Service) Start(ctx context.Context, kind, title string, total int, payload any) (Task, error) {
	if s.handlers[kind] == nil {
		return Task{}, fmt.Errorf("task: no handler for %q", kind)
	}
	raw, err := json.Marshal(payload)
	if err != nil {
		return Task{}, err
	}
	actor, err := json.Marshal(event.ActorOf(ctx))
	if err != nil {
		return Task{}, err
	}
	var t Task
	err = s.DB.Tx(ctx, func(ctx context.Context) error {
		uid := object.UID(ctx)
		if known, err := s.store.get(ctx, uid); err == nil {
			t = known.task() // the same request was here before, but its answer was lost
			return nil
		} else if !problem.Is(err, "task.not_found") {
			return err
		}
		now := s.Clock.Now()
		r := row{
			UID: uid, Revision: 1, CreatedAt: now, UpdatedAt: now, Kind: kind, Title: title, State: Queued, Total: total,
			Actor: string(actor), RequestID: logx.RequestID(ctx), Payload: s.Sealer.Seal(string(raw), purpose(uid)), HeldUntil: now,
		}
		if err := s.store.insert(ctx, &r); err != nil {
			return err
		}
		t = r.task()
		db.AfterCommit(ctx, s.wakeUp)
		return s.record(ctx, "task.created", nil, &t)
	})
	return t, err
}

// List returns one page of tasks, without their items.
func (s *Service) List(ctx context.Context, q db.ListQuery) (page db.Page[Task], err error) {
	err = s.DB.Read(ctx, func(ctx context.Context) error {
		page, err = s.store.list(ctx, q)
		return err
	})
	return page, err
}

// Get returns one task with its items.
func (s *Service) Get(ctx context.Context, uid string) (t Task, err error) {
	err = s.DB.Read(ctx, func(ctx context.Context) error {
		r, err := s.store.get(ctx, uid)
		if err != nil {
			return err
		}
		t = r.task()
		t.Items, err = s.store.items(ctx, uid)
		return err
	})
	return t, err
}

// Cancel ends a task before its next step. What its finished steps have done stays.
func (s *Service) Cancel(ctx context.Context, uid string) (t Task, err error) {
	err = s.DB.Tx(ctx, func(ctx context.Context) error {
		old, err := s.store.get(ctx, uid)
		if err != nil {
			return err
		}
		ok, err := s.store.finish(ctx, uid, "", Cancelled, fmt.Sprintf("Cancelled by %s. What was done until then stays.", event.ActorOf(ctx).Name), s.Clock.Now())
		if err != nil {
			return err
		}
		if !ok {
			return problem.New(http.StatusConflict, CodeFinished, fmt.Sprintf("The task has ended already: it is %s. There is nothing to cancel.", old.State))
		}
		db.AfterCommit(ctx, func() { s.stop(uid) })
		return s.ended(ctx, "task.cancelled", &old, &t)
	})
	return t, err
}

// Prune drops tasks that ended longer than keep ago.
func (s *Service) Prune(ctx context.Context, keep time.Duration) error {
	return s.DB.Tx(ctx, func(ctx context.Context) error {
		_, err := s.DB.Conn(ctx).NewRaw("DELETE FROM task_run WHERE finished_at < ?", s.Clock.Now().Add(-keep)).Exec(ctx)
		return err
	})
}

// ended reads the task as it is now into t and records its end.
func (s *Service) ended(ctx context.Context, action string, old *row, t *Task) error {
	now, err := s.store.get(ctx, old.UID)
	if err != nil {
		return err
	}
	*t = now.task()
	before := old.task()
	return s.record(ctx, action, &before, t)
}

func (s *Service) record(ctx context.Context, action string, before, after *Task) error {
	c := event.Change{Action: action, Kind: "task", UID: after.UID, Name: after.Title, Revision: after.Revision, After: after.public()}
	if before != nil {
		c.Before = before.public()
	}
	return s.Recorder.Record(ctx, c)
}

// changed tells that progress was made; that is no change of the spec, so the audit trail does not have it.
func (s *Service) changed(ctx context.Context, r *row) error {
	return s.Events.Append(ctx, event.Event{Type: "task.changed", Kind: "task", UID: r.UID, Name: r.Title, Revision: r.Revision})
}

func (s *Service) wakeUp() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *Service) stop(uid string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if cancel := s.running[uid]; cancel != nil {
		cancel()
	}
}
