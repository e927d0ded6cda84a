package probe

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/cloudsoda/go-smb2"

	"github.com/pve-smb-gateway/smbgw/internal/clock"
	"github.com/pve-smb-gateway/smbgw/internal/desired"
)

// Client names the SMB client in receipts.
const Client = "go-smb2"

// filePrefix is that of every file that a probe writes.
const filePrefix = ".smbgw-probe-"

// Checks, in the order in which they come.
const (
	Connect          = "connect"
	List             = "list"
	Write            = "write"
	ReadBack         = "readBack"
	Delete           = "delete"
	ReadOnlyRefused  = "readOnlyRefused"
	StrangerRefused  = "strangerRefused"
	AnonymousRefused = "anonymousRefused"
)

var errDiffers = errors.New("what was read back is not what had been written")

// Options tune a [Prober]; zero fields get the defaults named.
type Options struct {
	// Addr is the host:port of the smbd to probe.
	Addr string
	// StrangerHash is the NT hash of the password of [desired.StrangerName], upper-case hex. Keep it in memory only.
	StrangerHash string
	// Mark is part of the names of files, so that what a crash has left behind is known to be ours. It is the same after
	// a restart and differs between agents: letters and digits.
	Mark string
	// Timeout bounds one probe: 10 s.
	Timeout time.Duration
	Log     *slog.Logger
	Clock   clock.Clock
}

// Prober probes the shares of one smbd. It is safe for concurrent use, but one share shall be probed by one caller at a
// time.
type Prober struct {
	o    Options
	pool pool

	mu     sync.Mutex
	flying map[string]bool // names of files that exist at this moment
	swept  map[string]bool // paths where leftovers have been looked for
}

// New returns a prober. It does nothing until asked.
func New(o Options) *Prober {
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = clock.System
	}
	return &Prober{o: o, pool: pool{addr: o.Addr, timeout: o.Timeout}, flying: map[string]bool{}, swept: map[string]bool{}}
}

// Renew makes later probes log in anew. Call it after every change of the node's configuration: smbd holds clients to the
// rules of when they connected.
func (p *Prober) Renew() { p.pool.renew() }

// Close ends all sessions that are not in use.
func (p *Prober) Close() { p.pool.renew() }

// Probe checks what the spec of s promises. path is the share's path in effect. The receipt passes if every check does.
func (p *Prober) Probe(ctx context.Context, s desired.Share, path string, who Principals) desired.Receipt {
	ctx, cancel := context.WithTimeout(ctx, p.o.Timeout)
	defer cancel()
	r := &run{Prober: p, share: s, path: path, began: time.Now(),
		receipt: desired.Receipt{At: p.o.Clock.Now(), Generation: s.Generation, Client: Client}}
	writer, reader := who.Choose(s)
	if writer == nil && reader == nil {
		r.add(desired.Check{Name: Connect, Status: codeNobody, Detail: "no enabled user with a password may use the share"}, r.began)
	}
	// The refusals are checked meanwhile: they need connections of their own, and a client waits for the result.
	refusals := &run{Prober: p, share: s}
	var aside sync.WaitGroup
	aside.Go(func() {
		if len(s.ValidUsers) > 0 {
			refusals.refused(ctx, StrangerRefused, login{desired.StrangerName, p.o.StrangerHash})
		}
		refusals.refused(ctx, AnonymousRefused, login{})
	})
	if writer != nil {
		r.asWriter(ctx, writer)
	}
	if reader != nil {
		r.asReader(ctx, reader, writer == nil)
	}
	aside.Wait()
	r.receipt.Checks = append(r.receipt.Checks, refusals.receipt.Checks...)
	r.receipt.Passed = true
	for _, c := range r.receipt.Checks {
		r.receipt.Passed = r.receipt.Passed && c.OK
	}
	p.sweep(path)
	r.receipt.Millis = millis(r.began)
	return r.receipt
}

// run is one probe.
type run struct {
	*Prober
	share   desired.Share
	path    string
	began   time.Time
	receipt desired.Receipt
}

func millis(since time.Time) float64 { return float64(time.Since(since).Microseconds()) / 1000 }

func (r *run) add(c desired.Check, since time.Time) {
	c.Millis = millis(since)
	r.receipt.Checks = append(r.receipt.Checks, c)
}

// step does one check and reports whether it held.
func (r *run) step(name, as string, do func() error) bool {
	since := time.Now()
	err := do()
	c := desired.Check{Name: name, As: as, OK: err == nil, Status: status(err)}
	if err != nil {
		c.Detail = detail(err)
	}
	r.add(c, since)
	return err == nil
}

// detail is the text of err, cut to what a person reads.
func detail(err error) string {
	text := strings.ToValidUTF8(err.Error(), "?")
	return text[:min(len(text), 300)]
}

// open logs in and connects to the share.
func (r *run) open(ctx context.Context, l login) (*session, *smb2.Share, error) {
	s, err := r.pool.get(ctx, l)
	if err != nil {
		return nil, nil, fmt.Errorf("log in: %w", err)
	}
	share, err := s.mount(ctx, r.share.Name)
	if err != nil {
		r.leave(s, nil, err)
		return nil, nil, fmt.Errorf("connect to the share: %w", err)
	}
	return s, share, nil
}

// leave disconnects from the share and gives the session back, or away if err tells that it has broken.
func (r *run) leave(s *session, share *smb2.Share, err error) {
	if lost(err) || status(err) == codeTimeout {
		s.discard()
	} else if share != nil {
		if lost(share.Umount()) {
			s.discard()
		}
	}
	s.release()
}

// asWriter checks that u can list, write, read back and delete.
func (r *run) asWriter(ctx context.Context, u *desired.User) {
	l := login{u.Name, u.NTHash}
	s, share, ok := r.connectAndList(ctx, l)
	if !ok {
		return
	}
	var last error
	defer func() { r.leave(s, share, last) }()
	name := filePrefix + r.o.Mark + "-" + rand.Text()
	content := []byte("Written by the probe of smbgw, which deletes it at once.\n" + rand.Text() + "\n")
	r.fly(name)
	defer r.land(name)
	written := r.step(Write, u.Name, func() error {
		f, err := share.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if err == nil {
			_, err = f.Write(content)
			if closed := f.Close(); err == nil {
				err = closed
			}
		}
		last = err
		return err
	})
	if written {
		r.step(ReadBack, u.Name, func() error {
			got, err := share.ReadFile(name)
			if err == nil && !bytes.Equal(got, content) {
				err = errDiffers
			}
			last = err
			return err
		})
		r.step(Delete, u.Name, func() error {
			err := share.Remove(name)
			last = err
			return err
		})
	}
	if last != nil {
		r.remove(l, name)
	}
}

// asReader checks that u is refused to write; connect and list are checked unless somebody else has done so.
func (r *run) asReader(ctx context.Context, u *desired.User, whole bool) {
	l := login{u.Name, u.NTHash}
	var s *session
	var share *smb2.Share
	if whole {
		var ok bool
		if s, share, ok = r.connectAndList(ctx, l); !ok {
			return
		}
	}
	var last error
	defer func() {
		if s != nil {
			r.leave(s, share, last)
		}
	}()
	since := time.Now()
	if s == nil {
		var err error
		if s, share, err = r.open(ctx, l); err != nil {
			r.add(desired.Check{Name: ReadOnlyRefused, As: u.Name, Status: status(err), Detail: detail(err)}, since)
			return
		}
	}
	name := filePrefix + r.o.Mark + "-" + rand.Text()
	r.fly(name)
	defer r.land(name)
	f, err := share.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	last = err
	c := desired.Check{Name: ReadOnlyRefused, As: u.Name, OK: isRefusal(status(err)), Status: status(err)}
	switch {
	case err == nil:
		_ = f.Close()
		_ = share.Remove(name)
		r.remove(l, name)
		c.Status, c.Detail = codeAdmitted, "a file could be created"
	case !c.OK:
		c.Detail = detail(err)
		r.remove(l, name)
	}
	r.add(c, since)
}

func (r *run) connectAndList(ctx context.Context, l login) (*session, *smb2.Share, bool) {
	var s *session
	var share *smb2.Share
	connected := r.step(Connect, l.user, func() (err error) {
		s, share, err = r.open(ctx, l)
		return err
	})
	if !connected {
		return nil, nil, false
	}
	if r.receipt.Dialect == "" {
		r.receipt.Dialect = s.dialect
	}
	var last error
	listed := r.step(List, l.user, func() error {
		dir, err := share.Open("")
		if err == nil {
			// The first entries are proof enough of a directory with a million.
			if _, err = dir.Readdir(1); errors.Is(err, io.EOF) {
				err = nil
			}
			_ = dir.Close()
		}
		last = err
		return err
	})
	if !listed {
		r.leave(s, share, last)
	}
	return s, share, listed
}

// refused checks that l cannot connect to the share. Only a server's "no" is proof: a client that failed to ask is not.
func (r *run) refused(ctx context.Context, name string, l login) {
	since := time.Now()
	as := l.user
	if as == "" {
		as = "anonymous"
	}
	c := desired.Check{Name: name, As: as}
	s, err := r.pool.get(ctx, l)
	switch {
	case err != nil && l.user == "" && isRefusal(status(err)):
		c.OK, c.Status = true, status(err)
	case err != nil:
		// A stranger who cannot even log in proves nothing about the share.
		c.Status, c.Detail = status(err), "log in: "+detail(err)
		if isRefusal(c.Status) {
			c.Status = codeNoAccount
		}
	default:
		var share *smb2.Share
		share, err = s.mount(ctx, r.share.Name)
		c.OK, c.Status = isRefusal(status(err)), status(err)
		if err == nil {
			c.Status, c.Detail = codeAdmitted, "could connect to the share"
		} else if !c.OK {
			c.Detail = detail(err)
		}
		r.leave(s, share, err)
	}
	r.add(c, since)
}

func (p *Prober) fly(name string) {
	p.mu.Lock()
	p.flying[name] = true
	p.mu.Unlock()
}

func (p *Prober) land(name string) {
	p.mu.Lock()
	delete(p.flying, name)
	p.mu.Unlock()
}

// remove makes sure that a file is gone whose write or deletion has failed or whose fate is unknown: by SMB, with time and
// a session of its own, and failing that from the disk, where nobody else's file has that name.
func (r *run) remove(l login, name string) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	err := func() error {
		smb, _, err := dial(ctx, r.o.Addr, l)
		if err != nil {
			return err
		}
		defer func() { _ = smb.WithContext(ctx).Logoff() }()
		share, err := smb.WithContext(ctx).Mount(`\\` + Workstation + `\` + r.share.Name)
		if err != nil {
			return err
		}
		return share.WithContext(ctx).Remove(name)
	}()
	if err == nil || errors.Is(err, os.ErrNotExist) {
		return
	}
	if r.path == "" {
		return
	}
	if err := os.Remove(filepath.Join(r.path, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		r.o.Log.WarnContext(ctx, "a file of the probe is left", "share", r.share.Name, "path", r.path, "file", name, "error", err)
		r.mu.Lock()
		delete(r.swept, r.path) // try again the next time
		r.mu.Unlock()
	}
}

// sweep removes what a crash of this agent has left in path; once per path, as the directory may be large.
func (p *Prober) sweep(path string) {
	p.mu.Lock()
	done := p.swept[path]
	p.swept[path] = true
	p.mu.Unlock()
	if done || path == "" || p.o.Mark == "" {
		return
	}
	dir, err := os.Open(path)
	if err != nil {
		return
	}
	defer dir.Close()
	for {
		names, err := dir.Readdirnames(1024)
		for _, n := range names {
			if strings.HasPrefix(n, filePrefix+p.o.Mark+"-") && !p.inFlight(n) {
				_ = os.Remove(filepath.Join(path, n))
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *Prober) inFlight(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.flying[name]
}
