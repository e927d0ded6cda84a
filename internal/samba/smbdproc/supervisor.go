package smbdproc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pve-smb-gateway/smbgw/internal/samba"
)

// State of smbd.
type State string

// The states of smbd.
const (
	Down     State = "down"     // not running; Problem tells why
	Starting State = "starting" // runs, but does not listen yet
	Running  State = "running"  // listens
)

// Status is what a [Supervisor] knows of its smbd.
type Status struct {
	State State
	// PID is that of smbd's main process; 0 while Down. Started is when that process began.
	PID     int
	Started time.Time
	// Adopted says that an earlier supervisor had started it.
	Adopted bool
	// Restarts counts how often this supervisor has started an smbd after one had died.
	Restarts int
	// Problem is why smbd is not running, or why it died last, until it has stayed up for a while.
	Problem *samba.Problem
}

// Options tune a [Supervisor]; zero fields get the defaults named.
type Options struct {
	// Prepare makes what smbd needs, before every start: the instance's WriteConfig.
	Prepare func(ctx context.Context) error
	// Changed is called after each change of the status, by the goroutine of Run. It must not block.
	Changed func()
	Log     *slog.Logger
	// BackoffMin and BackoffMax bound the pause before smbd is started again after it has died: 1 s, doubling, to 1 min.
	BackoffMin, BackoffMax time.Duration
	// StableAfter is how long smbd has to stay up for its crashes to be forgotten: 1 min.
	StableAfter time.Duration
	// RetryAfter is the pause after a start that was not even tried, such as with the port taken: 2 s.
	RetryAfter time.Duration
}

// loopAfter is how many crashes in a row make a crash loop.
const loopAfter = 3

// Supervisor keeps the smbd of one instance running. There may be only one per instance.
type Supervisor struct {
	inst *samba.Instance
	o    Options
	// program finds an executable; tests replace it.
	program func(name string) (string, error)

	mu     sync.Mutex
	status Status

	// Of the goroutine of Run.
	crashes int // in a row
}

// New returns a supervisor of inst. It does nothing until [Supervisor.Run].
func New(inst *samba.Instance, o Options) *Supervisor {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&o.BackoffMin, time.Second)
	def(&o.BackoffMax, time.Minute)
	def(&o.StableAfter, time.Minute)
	def(&o.RetryAfter, 2*time.Second)
	if o.Changed == nil {
		o.Changed = func() {}
	}
	if o.Prepare == nil {
		o.Prepare = inst.WriteConfig
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Supervisor{inst: inst, o: o, program: samba.Program, status: Status{State: Down}}
}

// Status returns how smbd stands. It is safe for concurrent use.
func (s *Supervisor) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

func (s *Supervisor) set(edit func(st *Status)) {
	s.mu.Lock()
	edit(&s.status)
	s.mu.Unlock()
	s.o.Changed()
}

// held is an smbd under watch.
type held struct {
	process
	watch   *watch
	adopted bool
	exited  <-chan string // how our child ended; nil if adopted
	logFrom int64         // size of smbd's log when it was started
}

// Run keeps smbd running until ctx ends, and leaves it running then. It is called once.
func (s *Supervisor) Run(ctx context.Context) {
	for ctx.Err() == nil {
		h, problem := s.obtain(ctx)
		if problem != nil {
			s.o.Log.ErrorContext(ctx, "smbd not started", "reason", problem.Reason, "message", problem.Message)
			s.set(func(st *Status) { st.State, st.PID, st.Started, st.Problem = Down, 0, time.Time{}, problem })
			pause(ctx, s.o.RetryAfter)
			continue
		}
		why, gone := s.keep(ctx, h)
		h.watch.close()
		if !gone {
			return
		}
		s.crashed(ctx, why)
	}
}

// obtain adopts the smbd that runs, or starts one.
func (s *Supervisor) obtain(ctx context.Context) (*held, *samba.Problem) {
	p, ok, err := main(s.inst)
	if err != nil {
		return nil, internal(err)
	}
	if !ok {
		return s.start(ctx)
	}
	w, err := open(p)
	if errors.Is(err, os.ErrProcessDone) {
		return s.start(ctx)
	}
	if err != nil {
		return nil, internal(err)
	}
	s.o.Log.InfoContext(ctx, "smbd adopted", "pid", p.pid)
	return &held{process: p, watch: w, adopted: true, logFrom: max(0, fileSize(s.logFile())-4096)}, nil
}

func internal(err error) *samba.Problem {
	return &samba.Problem{Reason: "smbd.not_started", Message: fmt.Sprintf("smbd could not be started: %v. Correct that on the node; the agent keeps trying.", err)}
}

// start starts an smbd that knows nothing of us: its own session, no stdin, output to a file.
func (s *Supervisor) start(ctx context.Context) (*held, *samba.Problem) {
	program, err := s.program("smbd")
	if err != nil {
		return nil, &samba.Problem{Reason: "smbd.missing", Message: "smbd is not installed on this node. Run: apt-get install samba smbclient samba-vfs-modules"}
	}
	if err := s.o.Prepare(ctx); err != nil {
		return nil, internal(err)
	}
	if p := checkPort(s.inst); p != nil {
		return nil, p
	}
	out, err := os.OpenFile(filepath.Join(s.inst.LogDir(), "smbd.out"), os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o640)
	if err != nil {
		return nil, internal(err)
	}
	defer out.Close()
	h := &held{logFrom: fileSize(s.logFile())}
	cmd := exec.Command(program, "-F", "--no-process-group", "-l", s.inst.LogDir(), "-s", s.inst.ConfigFile())
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = s.inst.Env(), s.inst.Dir, out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, internal(err)
	}
	// Until it is waited for, the pid is our child's, dead or alive.
	h.process, _ = readStat(cmd.Process.Pid)
	if h.watch, err = openPID(cmd.Process.Pid); err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return nil, internal(err)
	}
	exited := make(chan string, 1)
	h.exited = exited
	go func() {
		_ = cmd.Wait()
		if cmd.ProcessState == nil { // somebody else has waited for it
			exited <- unknown
			return
		}
		exited <- ended(cmd.ProcessState.Sys().(syscall.WaitStatus))
	}()
	s.o.Log.InfoContext(ctx, "smbd started", "pid", h.watch.pid)
	return h, nil
}

// listenWithin is how long smbd may take to listen before that is called a problem.
const listenWithin = 20 * time.Second

// keep waits until the smbd is gone and tells why, or until ctx ends.
func (s *Supervisor) keep(ctx context.Context, h *held) (why string, gone bool) {
	defer context.AfterFunc(ctx, h.watch.interrupt)()
	began := time.Now()
	s.set(func(st *Status) {
		st.State, st.PID, st.Started, st.Adopted = Starting, h.watch.pid, startedAt(h.started), h.adopted
	})
	done := make(chan struct{})
	go func() { defer close(done); _ = h.watch.wait() }()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	stable := time.NewTimer(s.o.StableAfter)
	defer stable.Stop()
	inspect := time.NewTicker(s.o.RetryAfter)
	defer inspect.Stop()
	for {
		select {
		case <-done:
			if ctx.Err() != nil {
				return "", false
			}
			return s.reason(h), true
		case <-look.C:
			switch {
			case accepts(s.inst):
				look.Stop()
				s.set(func(st *Status) {
					st.State = Running
					if s.crashes == 0 {
						st.Problem = nil
					}
				})
			case time.Since(began) > listenWithin:
				look.Reset(time.Second)
				s.set(func(st *Status) {
					st.Problem = &samba.Problem{Reason: "smbd.not_listening", Message: fmt.Sprintf(
						"smbd runs (pid %d) but takes no connections on port %d. Look at %s.", h.watch.pid, s.inst.Port, s.logFile())}
				})
			}
		case <-inspect.C:
			if !stalePassdb(s.inst, h.watch.pid) {
				continue
			}
			s.o.Log.ErrorContext(ctx, "smbd works on a passdb.tdb that was replaced; it is restarted", "pid", h.watch.pid)
			if err := h.watch.signal(unix.SIGTERM); err != nil {
				s.o.Log.ErrorContext(ctx, "smbd not stopped", "pid", h.watch.pid, "error", err)
			}
		case <-stable.C:
			s.crashes = 0
			if s.Status().State == Running {
				s.set(func(st *Status) { st.Problem = nil })
			}
		}
	}
}

// crashed notes that smbd has died, and waits before the next start.
func (s *Supervisor) crashed(ctx context.Context, why string) {
	s.crashes++
	wait := s.o.BackoffMax
	if n := s.crashes - 1; n < 16 {
		wait = min(wait, s.o.BackoffMin<<n)
	}
	p := &samba.Problem{Reason: "smbd.crashed", Message: fmt.Sprintf("smbd has died: %s. It is started again after %s.", why, wait)}
	if s.crashes >= loopAfter {
		p = &samba.Problem{Reason: "smbd.crash_loop", Message: fmt.Sprintf(
			"smbd has died %d times in a row, the last time: %s. It is started again after %s; look at %s.", s.crashes, why, wait, s.logFile())}
	}
	s.o.Log.ErrorContext(ctx, "smbd died", "reason", p.Reason, "cause", why, "inARow", s.crashes, "restartIn", wait.String())
	s.set(func(st *Status) {
		st.State, st.PID, st.Started, st.Problem = Down, 0, time.Time{}, p
		st.Restarts++
	})
	pause(ctx, wait)
}

const unknown = "how is not known, as an earlier agent had started it"

// reason tells why an smbd that is gone has died, as far as can be known: for our child how it ended, and always the end
// of what it wrote to its log.
func (s *Supervisor) reason(h *held) string {
	why := unknown
	if h.exited != nil {
		why = <-h.exited
	} else {
		// Orphans come to us if we are the init of a container; do not leave a zombie.
		var ws unix.WaitStatus
		if pid, err := unix.Wait4(h.watch.pid, &ws, unix.WNOHANG, nil); err == nil && pid == h.watch.pid {
			why = ended(syscall.WaitStatus(ws))
		}
	}
	for _, name := range []string{s.logFile(), filepath.Join(s.inst.LogDir(), "smbd.out")} {
		from := h.logFrom
		if name != s.logFile() {
			from = 0
		}
		if last := lastLines(name, from); last != "" {
			return why + "; its log ends with: " + last
		}
	}
	return why
}

func (s *Supervisor) logFile() string { return filepath.Join(s.inst.LogDir(), "log.smbd") }

func ended(ws syscall.WaitStatus) string {
	if ws.Signaled() {
		return fmt.Sprintf("it was ended by signal %d (%v)", int(ws.Signal()), ws.Signal())
	}
	return fmt.Sprintf("it ended with exit status %d", ws.ExitStatus())
}

func fileSize(name string) int64 {
	st, err := os.Stat(name)
	if err != nil {
		return 0
	}
	return st.Size()
}

// lastLines returns the last few lines that were written to a log after offset from, at most about 400 bytes, on one line.
func lastLines(name string, from int64) string {
	f, err := os.Open(name)
	if err != nil {
		return ""
	}
	defer f.Close()
	size := fileSize(name)
	if size < from {
		from = 0 // smbd has begun a new file
	}
	b := make([]byte, min(size-from, 4096))
	n, _ := f.ReadAt(b, size-int64(len(b)))
	var lines []string
	length := 0
	all := strings.Split(strings.ToValidUTF8(string(b[:n]), "?"), "\n")
	for i := len(all) - 1; i >= 0 && len(lines) < 3; i-- {
		// Headings hold only time and place in Samba's source.
		line := strings.TrimSpace(all[i])
		if line == "" || strings.HasPrefix(line, "[") {
			continue
		}
		if length += len(line); length > 400 {
			break
		}
		lines = append([]string{line}, lines...)
	}
	return strings.Join(lines, " | ")
}

// pause waits for d or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
