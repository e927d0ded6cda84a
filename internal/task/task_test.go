package task_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/clock"
	"github.com/pve-smb-gateway/smbgw/internal/db"
	"github.com/pve-smb-gateway/smbgw/internal/db/dbtest"
	"github.com/pve-smb-gateway/smbgw/internal/event"
	"github.com/pve-smb-gateway/smbgw/internal/logx"
	"github.com/pve-smb-gateway/smbgw/internal/object"
	"github.com/pve-smb-gateway/smbgw/internal/problem"
	"github.com/pve-smb-gateway/smbgw/internal/secret"
	"github.com/pve-smb-gateway/smbgw/internal/task"
)

var migrations = []db.Migrations{event.Migrations, task.Migrations}

// recorder appends the event of a change, as the audit room does, and keeps the changes.
type recorder struct {
	log     *event.Log
	mu      sync.Mutex
	changes []event.Change
	actors  []string
}

func (r *recorder) Record(ctx context.Context, c event.Change) error {
	r.mu.Lock()
	r.changes, r.actors = append(r.changes, c), append(r.actors, event.ActorOf(ctx).Name)
	r.mu.Unlock()
	return r.log.Append(ctx, event.Event{Type: c.Action, Kind: c.Kind, UID: c.UID, Name: c.Name, Revision: c.Revision})
}

func (r *recorder) actions() (out []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.changes {
		out = append(out, c.Action)
	}
	return out
}

// server is one server's task room on a store.
func server(t testing.TB, d *db.DB, key string) (*task.Service, *recorder) {
	t.Helper()
	sealer, err := secret.Open(key)
	if err != nil {
		t.Fatal(err)
	}
	log := event.NewLog(d, clock.System)
	rec := &recorder{log: log}
	return task.New(task.Deps{
		DB: d, Clock: clock.System, Events: log, Recorder: rec, Sealer: sealer, Log: logx.New(io.Discard, slog.LevelError),
		Lease: 600 * time.Millisecond, Poll: 20 * time.Millisecond,
	}), rec
}

// work runs s until the test ends or stop is called.
func work(t testing.TB, s *task.Service) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

func await(t testing.TB, s *task.Service, uid string, ok func(task.Task) bool) task.Task {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		got, err := s.Get(t.Context(), uid)
		if err != nil {
			t.Fatal(err)
		}
		if ok(got) {
			return got
		}
		if time.Now().After(deadline) {
			t.Fatalf("still %s, %d done: %s", got.State, got.Done, got.Message)
		}
	}
}

func in(state task.State) func(task.Task) bool {
	return func(t task.Task) bool { return t.State == state }
}

// payload is what the tests' handler counts to; each step writes a row, so that a step done twice shows.
type payload struct {
	Secret string
	Steps  int
}

const table = "CREATE TABLE step (n BIGINT NOT NULL, worker TEXT NOT NULL)"

func exec1(t testing.TB, d *db.DB, query string) {
	t.Helper()
	if err := d.Tx(t.Context(), func(ctx context.Context) error {
		_, err := d.Conn(ctx).NewRaw(query).Exec(ctx)
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// counter does the steps of a payload; between is called behind each.
func counter(d *db.DB, worker string, between func(ctx context.Context, n int) error) task.Handler {
	return func(ctx context.Context, run *task.Run) error {
		var p payload
		if err := run.Payload(&p); err != nil {
			return err
		}
		for run.Done() < p.Steps {
			n := run.Done()
			err := run.Step(ctx, func(ctx context.Context, report func(string, bool, string)) error {
				report(fmt.Sprint("item ", n), n%10 != 9, "")
				_, err := d.Conn(ctx).NewRaw("INSERT INTO step (n, worker) VALUES (?, ?)", n, worker).Exec(ctx)
				return err
			})
			if err != nil {
				return err
			}
			if err := between(ctx, n); err != nil {
				return err
			}
		}
		return nil
	}
}

func nothing(context.Context, int) error { return nil }

// steps returns the numbers of the steps that were done, in order.
func steps(t testing.TB, d *db.DB) (out []int) {
	t.Helper()
	if err := d.Conn(t.Context()).NewRaw("SELECT n FROM step ORDER BY n").Scan(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func upTo(n int) (out []int) {
	for i := range n {
		out = append(out, i)
	}
	return out
}

func TestRun(t *testing.T) {
	dbtest.Each(t, migrations, func(t *testing.T, d *db.DB) {
		exec1(t, d, table)
		s, rec := server(t, d, filepath.Join(t.TempDir(), "key"))
		var actor, request string
		s.Register("test.count", counter(d, "w", func(ctx context.Context, n int) error {
			actor, request = event.ActorOf(ctx).Name, logx.RequestID(ctx)
			return nil
		}))
		ctx := event.WithActor(logx.WithRequestID(t.Context(), "request-1"), event.Actor{Kind: "account", UID: "u", Name: "anna"})

		if _, err := s.Start(ctx, "test.unknown", "x", 1, nil); err == nil {
			t.Error("a task without a handler was started")
		}
		// A task of a transaction that is rolled back does not exist.
		var lost task.Task
		rollback := errors.New("no")
		if err := d.Tx(ctx, func(ctx context.Context) (err error) {
			lost, err = s.Start(ctx, "test.count", "Lost", 1, payload{Steps: 1})
			return errors.Join(err, rollback)
		}); !errors.Is(err, rollback) {
			t.Fatal(err)
		}
		if _, err := s.Get(ctx, lost.UID); !problem.Is(err, "task.not_found") {
			t.Errorf("after the rollback: %v", err)
		}

		seeded := object.WithUIDSeed(ctx, "one request")
		started, err := s.Start(seeded, "test.count", "Count to 25", 25, payload{"hunter2-secret", 25})
		if err != nil || started.State != task.Queued {
			t.Fatal(started, err)
		}
		if again, err := s.Start(seeded, "test.count", "Count to 25", 25, payload{"hunter2-secret", 25}); err != nil || again.UID != started.UID {
			t.Errorf("the same request again: %v, %v", again.UID, err)
		}
		stored := func() (out string) {
			if err := d.Conn(ctx).NewRaw("SELECT payload FROM task_run WHERE uid = ?", started.UID).Scan(ctx, &out); err != nil {
				t.Fatal(err)
			}
			return out
		}
		if p := stored(); p == "" || strings.Contains(p, "hunter2") {
			t.Errorf("the payload is not sealed: %q", p)
		}
		work(t, s)
		got := await(t, s, started.UID, in(task.Done))
		if got.Done != 25 || got.Failed != 2 || len(got.Items) != 25 || got.Items[9].OK || !got.Items[10].OK || got.Items[9].Name != "item 9" {
			t.Errorf("%+v", got)
		}
		if got.StartedAt == nil || got.FinishedAt == nil || got.StartedBy != "anna" || got.Message == "" {
			t.Errorf("%+v", got)
		}
		if actor != "anna" || request != "request-1" {
			t.Errorf("the work was done by %q in request %q", actor, request)
		}
		if !slices.Equal(steps(t, d), upTo(25)) {
			t.Errorf("steps %v", steps(t, d))
		}
		if stored() != "" {
			t.Error("the payload is still there after the end")
		}
		// The change of the rolled-back transaction went to the recorder too, which here keeps no transaction.
		if want := []string{"task.created", "task.created", "task.done"}; !slices.Equal(rec.actions(), want) {
			t.Errorf("recorded %v, want %v", rec.actions(), want)
		}
		if _, err := s.Cancel(ctx, started.UID); !problem.Is(err, task.CodeFinished) {
			t.Errorf("cancel of a finished task: %v", err)
		}
		page, err := s.List(ctx, db.ListQuery{Filter: `state eq "done" and kind eq "test.count"`, Search: "COUNT anna"})
		if err != nil || page.Total != 1 || page.Items[0].Items != nil {
			t.Errorf("list: %+v, %v", page, err)
		}
		if err := s.Prune(ctx, time.Hour); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Get(ctx, started.UID); err != nil {
			t.Errorf("pruned too early: %v", err)
		}
		if err := s.Prune(ctx, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Get(ctx, started.UID); !problem.Is(err, "task.not_found") {
			t.Errorf("not pruned: %v", err)
		}
	})
}

// TestEventsAreThrottled: 200 quick steps must not make 200 events.
func TestEventsAreThrottled(t *testing.T) {
	d := dbtest.SQLite(t, migrations...)
	exec1(t, d, table)
	s, rec := server(t, d, filepath.Join(t.TempDir(), "key"))
	s.Register("test.count", counter(d, "w", nothing))
	begin := time.Now()
	started, err := s.Start(t.Context(), "test.count", "x", 200, payload{Steps: 200})
	if err != nil {
		t.Fatal(err)
	}
	work(t, s)
	await(t, s, started.UID, in(task.Done))
	most := 4 + 2*int(time.Since(begin)/time.Second+1) // created, held, first step, done, and two a second
	if events, err := rec.log.After(t.Context(), 0, 1000); err != nil || len(events) > most || len(events) < 4 {
		t.Errorf("%d events, at most %d expected, %v", len(events), most, err)
	}
}

func TestCancel(t *testing.T) {
	dbtest.Each(t, migrations, func(t *testing.T, d *db.DB) {
		exec1(t, d, table)
		s, rec := server(t, d, filepath.Join(t.TempDir(), "key"))
		stopped := make(chan struct{})
		s.Register("test.count", counter(d, "w", func(ctx context.Context, n int) error {
			if n < 2 {
				return nil
			}
			defer close(stopped)
			<-ctx.Done() // cancel must reach work that is under way
			return ctx.Err()
		}))
		ctx := event.WithActor(t.Context(), event.Actor{Kind: "account", Name: "bert"})
		queued, err := s.Start(ctx, "test.count", "never runs", 1, payload{Steps: 5})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.Cancel(ctx, queued.UID); err != nil || got.State != task.Cancelled || got.FinishedAt == nil {
			t.Errorf("cancel in the queue: %+v, %v", got, err)
		}
		running, err := s.Start(ctx, "test.count", "runs", 5, payload{Steps: 5})
		if err != nil {
			t.Fatal(err)
		}
		stop := work(t, s)
		await(t, s, running.UID, func(t task.Task) bool { return t.Done == 3 })
		got, err := s.Cancel(ctx, running.UID)
		if err != nil || got.State != task.Cancelled || !strings.Contains(got.Message, "bert") {
			t.Errorf("cancel: %+v, %v", got, err)
		}
		select {
		case <-stopped:
		case <-time.After(10 * time.Second):
			t.Fatal("the handler was not told")
		}
		stop()
		for _, uid := range []string{queued.UID, running.UID} {
			if got, err := s.Get(ctx, uid); err != nil || got.State != task.Cancelled {
				t.Errorf("afterwards: %+v, %v", got, err)
			}
		}
		if !slices.Equal(steps(t, d), upTo(3)) {
			t.Errorf("steps %v", steps(t, d))
		}
		if want := []string{"task.created", "task.cancelled", "task.created", "task.cancelled"}; !slices.Equal(rec.actions(), want) {
			t.Errorf("recorded %v", rec.actions())
		}
	})
}

func TestFailures(t *testing.T) {
	d := dbtest.SQLite(t, migrations...)
	exec1(t, d, table)
	s, _ := server(t, d, filepath.Join(t.TempDir(), "key"))
	var flaky atomic.Int32
	s.Register("test.problem", func(context.Context, *task.Run) error { return problem.New(422, "test.bad", "It cannot work.") })
	s.Register("test.panic", func(context.Context, *task.Run) error { panic("secret of the panic") })
	s.Register("test.flaky", counter(d, "w", func(_ context.Context, n int) error {
		if n == 1 && flaky.Add(1) == 1 {
			return errors.New("the network")
		}
		return nil
	}))
	work(t, s)
	start := func(kind string) task.Task {
		t.Helper()
		got, err := s.Start(t.Context(), kind, kind, 3, payload{Steps: 3})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := await(t, s, start("test.problem").UID, in(task.Failed)); got.Message != "It cannot work." {
		t.Errorf("%+v", got)
	}
	if got := await(t, s, start("test.panic").UID, in(task.Failed)); strings.Contains(got.Message, "secret") {
		t.Errorf("%+v", got)
	}
	await(t, s, start("test.flaky").UID, in(task.Done))
	if !slices.Equal(steps(t, d), upTo(3)) || flaky.Load() != 1 {
		t.Errorf("steps %v, %d failures", steps(t, d), flaky.Load())
	}
}

// TestStopAndGoOn: a server that is stopped in order leaves its task to the next at once.
func TestStopAndGoOn(t *testing.T) {
	d := dbtest.SQLite(t, migrations...)
	exec1(t, d, table)
	key := filepath.Join(t.TempDir(), "key")
	a, _ := server(t, d, key)
	a.Register("test.count", counter(d, "a", func(ctx context.Context, n int) error {
		if n == 3 {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}))
	started, err := a.Start(t.Context(), "test.count", "x", 8, payload{Steps: 8})
	if err != nil {
		t.Fatal(err)
	}
	stop := work(t, a)
	await(t, a, started.UID, func(t task.Task) bool { return t.Done == 4 })
	stop()
	if got, err := a.Get(t.Context(), started.UID); err != nil || got.State != task.Running || got.Message == "" {
		t.Errorf("between the servers: %+v, %v", got, err)
	}
	b, _ := server(t, d, key)
	b.Register("test.count", counter(d, "b", nothing))
	work(t, b)
	if got := await(t, b, started.UID, in(task.Done)); len(got.Items) != 8 || !slices.Equal(steps(t, d), upTo(8)) {
		t.Errorf("%+v, steps %v", got, steps(t, d))
	}
}

// TestTwoServers: two servers on one PostgreSQL share many tasks and do each step of each once, also when one of them
// stalls for longer than its lease and comes back.
func TestTwoServers(t *testing.T) {
	dsn := dbtest.StartPostgres(t)
	key := filepath.Join(t.TempDir(), "key")
	var stores []*db.DB
	for range 2 {
		d, err := db.Open(t.Context(), dsn)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = d.Close() })
		stores = append(stores, d)
	}
	if err := stores[0].Migrate(t.Context(), migrations...); err != nil {
		t.Fatal(err)
	}
	exec1(t, stores[0], table)
	const tasks, each = 20, 5
	var servers []*task.Service
	var ran [2]atomic.Int32
	var stalls atomic.Int32
	for i, d := range stores {
		s, _ := server(t, d, key)
		s.Register("test.count", counter(d, fmt.Sprint(i), func(_ context.Context, n int) error {
			ran[i].Add(1)
			if i == 0 && n == 2 && stalls.Add(1) == 1 {
				time.Sleep(1500 * time.Millisecond) // deaf to its context, but its heart beats: nobody may take the task
			}
			return nil
		}))
		servers = append(servers, s)
	}
	var all []task.Task
	for i := range tasks {
		got, err := servers[i%2].Start(t.Context(), "test.count", "x", each, payload{Steps: each})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, got)
	}
	work(t, servers[0])
	work(t, servers[1])
	for _, it := range all {
		if got := await(t, servers[0], it.UID, in(task.Done)); got.Done != each || len(got.Items) != each {
			t.Errorf("%+v", got)
		}
	}
	if got := steps(t, stores[0]); len(got) != tasks*each {
		t.Errorf("%d steps, want %d", len(got), tasks*each)
	}
	if ran[0].Load() == 0 || ran[1].Load() == 0 {
		t.Errorf("one server did nothing: %d and %d", ran[0].Load(), ran[1].Load())
	}
}

// TestTakenAway: a server whose hold was taken by another cannot commit its next step.
func TestTakenAway(t *testing.T) {
	dbtest.Each(t, migrations, func(t *testing.T, d *db.DB) {
		exec1(t, d, table)
		s, _ := server(t, d, filepath.Join(t.TempDir(), "key"))
		s.Register("test.count", counter(d, "w", func(ctx context.Context, n int) error {
			if n == 1 {
				// As another server would, had this one been thought dead.
				return d.Tx(context.WithoutCancel(ctx), func(ctx context.Context) error {
					_, err := d.Conn(ctx).NewRaw("UPDATE task_run SET holder = 'other', held_until = ?", time.Now().Add(time.Hour).UTC()).Exec(ctx)
					return err
				})
			}
			return nil
		}))
		started, err := s.Start(t.Context(), "test.count", "x", 5, payload{Steps: 5})
		if err != nil {
			t.Fatal(err)
		}
		stop := work(t, s)
		await(t, s, started.UID, func(t task.Task) bool { return t.Done == 2 })
		time.Sleep(200 * time.Millisecond)
		stop()
		got, err := s.Get(t.Context(), started.UID)
		if err != nil || got.State != task.Running || got.Done != 2 || !slices.Equal(steps(t, d), upTo(2)) {
			t.Errorf("%+v, %v, steps %v", got, err, steps(t, d))
		}
	})
}

// The test binary is also the server that is killed.
const (
	envDSN = "SMBGW_TASK_TEST_DSN"
	envKey = "SMBGW_TASK_TEST_KEY"
)

func TestMain(m *testing.M) {
	if os.Getenv(envDSN) != "" {
		victim()
		return
	}
	os.Exit(m.Run())
}

// victim works until it is killed, and says each step that it has committed.
func victim() {
	d, err := db.Open(context.Background(), os.Getenv(envDSN))
	if err != nil {
		panic(err)
	}
	sealer, err := secret.Open(os.Getenv(envKey))
	if err != nil {
		panic(err)
	}
	log := event.NewLog(d, clock.System)
	s := task.New(task.Deps{
		DB: d, Clock: clock.System, Events: log, Recorder: &recorder{log: log}, Sealer: sealer, Log: logx.New(os.Stderr, slog.LevelError),
		Lease: 600 * time.Millisecond, Poll: 20 * time.Millisecond,
	})
	s.Register("test.count", counter(d, "victim", func(_ context.Context, n int) error {
		fmt.Println(n)
		return nil
	}))
	s.Run(context.Background())
}

// TestKill kills a real server process (SIGKILL) at whatever it is doing, again and again: in the end every step is done
// once.
func TestKill(t *testing.T) {
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			dsn := "sqlite:" + filepath.Join(t.TempDir(), "store.db")
			if engine == "postgres" {
				dsn = dbtest.StartPostgres(t)
			}
			d, err := db.Open(t.Context(), dsn)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = d.Close() })
			if err := d.Migrate(t.Context(), migrations...); err != nil {
				t.Fatal(err)
			}
			exec1(t, d, table)
			key := filepath.Join(t.TempDir(), "key")
			s, _ := server(t, d, key)
			s.Register("test.count", counter(d, "survivor", nothing))
			const total = 400
			started, err := s.Start(t.Context(), "test.count", "x", total, payload{Steps: total})
			if err != nil {
				t.Fatal(err)
			}
			said := 0
			for round := range 3 {
				c := exec.Command(os.Args[0])
				c.Env = append(os.Environ(), envDSN+"="+dsn, envKey+"="+key)
				c.Stderr = os.Stderr
				out, err := c.StdoutPipe()
				if err != nil {
					t.Fatal(err)
				}
				if err := c.Start(); err != nil {
					t.Fatal(err)
				}
				lines := bufio.NewScanner(out)
				for range 20 + round*7 { // it is in the middle of the work
					if !lines.Scan() {
						t.Fatalf("the server ended by itself: %v", lines.Err())
					}
				}
				if err := c.Process.Kill(); err != nil {
					t.Fatal(err)
				}
				_ = c.Wait() // "signal: killed"
				now, err := s.Get(t.Context(), started.UID)
				if err != nil || now.State != task.Running || now.Done <= said || now.Done != len(steps(t, d)) || now.Done != len(now.Items) {
					t.Fatalf("after the kill: %s, %d done (before %d), %d steps, %d items, %v", now.State, now.Done, said, len(steps(t, d)), len(now.Items), err)
				}
				said = now.Done
			}
			work(t, s)
			got := await(t, s, started.UID, in(task.Done))
			if got.Done != total || len(got.Items) != total || !slices.Equal(steps(t, d), upTo(total)) {
				t.Errorf("%d done, %d items, %d steps", got.Done, len(got.Items), len(steps(t, d)))
			}
		})
	}
}
