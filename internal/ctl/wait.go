package ctl

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pve-smb-gateway/smbgw/client"
)

const (
	// settle is how long a share must stay not Ready, in the generation waited for, until that counts as the outcome: the
	// node tries again by itself.
	settle = 3 * time.Second
	// gather is how long events are collected before shares are read again.
	gather = 50 * time.Millisecond
	// safety is how often shares are read without an event.
	safety = 5 * time.Second
	// few is up to how many shares are read one by one, and told one by one.
	few = 5
)

// waiter waits until shares are Ready in the generation that was written. Make it before the write, so that no event is
// missed. It is not safe for concurrent use.
type waiter struct {
	c       *client.Client
	p       *printer
	bar     progress
	events  chan client.Event
	failed  chan error
	stop    context.CancelFunc
	targets map[string]*target
	pending int
	began   time.Time
}

// target is one share that is waited for.
type target struct {
	share      client.Share
	generation int64
	done       bool
	problem    string // why it will not become Ready
	badSince   time.Time
	told       map[string]string // condition type -> what was last said of it
}

// startWaiting begins to listen for changes and returns when the stream stands.
func startWaiting(ctx context.Context, c *client.Client, p *printer) (*waiter, error) {
	ctx, stop := context.WithCancel(ctx)
	w := &waiter{c: c, p: p, bar: progress{p: p}, events: make(chan client.Event, 64), failed: make(chan error, 1), stop: stop,
		targets: map[string]*target{}, began: time.Now()}
	go func() {
		for e, err := range c.Events(ctx) {
			if err != nil {
				w.failed <- err
				return
			}
			select {
			case w.events <- e:
			case <-ctx.Done():
				return
			}
		}
	}()
	select {
	case <-w.events:
		return w, nil
	case err := <-w.failed:
		stop()
		return nil, err
	case <-ctx.Done():
		stop()
		return nil, fmt.Errorf("no live events came from %s: %w", c.Server(), ctx.Err())
	}
}

func (w *waiter) close() { w.stop() }

// add waits for s as it is now.
func (w *waiter) add(s client.Share) {
	w.targets[s.UID] = &target{share: s, generation: s.Generation, told: map[string]string{}}
	w.pending++
}

// last returns the latest known state of a share that was waited for.
func (w *waiter) last(uid string) (client.Share, bool) {
	t, ok := w.targets[uid]
	if !ok {
		return client.Share{}, false
	}
	return t.share, true
}

// run returns when all shares are Ready, or have failed, or ctx ends. Its error is a [notReadyError] then.
func (w *waiter) run(ctx context.Context) error {
	defer w.bar.end()
	for _, t := range w.targets {
		w.judge(t)
	}
	dirty := map[string]bool{}
	all := true
	for w.pending > 0 {
		if all || len(dirty) > 0 {
			if err := w.refresh(ctx, dirty, all); err != nil && ctx.Err() == nil {
				return err
			}
			dirty, all = map[string]bool{}, false
		}
		if w.p.live || len(w.targets) > few {
			w.bar.update(fmt.Sprintf("%d of %d Ready, %s", len(w.targets)-w.pending, len(w.targets), time.Since(w.began).Round(time.Second)))
		}
		if w.pending == 0 {
			break
		}
		if ctx.Err() != nil {
			break
		}
		timeout := safety
		if w.anyBad() {
			timeout = settle / 6
		}
		select {
		case <-ctx.Done():
		case err := <-w.failed:
			return err
		case e := <-w.events:
			all = w.note(e, dirty) || all
			w.drain(dirty, &all)
		case <-time.After(timeout):
			all = true
		}
	}
	w.bar.end()
	return w.verdict(ctx)
}

// drain collects what comes within a moment, so that a thousand events do not make a thousand reads.
func (w *waiter) drain(dirty map[string]bool, all *bool) {
	end := time.After(gather)
	for {
		select {
		case e := <-w.events:
			*all = w.note(e, dirty) || *all
		case <-end:
			return
		}
	}
}

func (w *waiter) note(e client.Event, dirty map[string]bool) (readAll bool) {
	if t := w.targets[e.UID]; t != nil && !t.done {
		dirty[e.UID] = true
	}
	return e.Type == client.Reset
}

func (w *waiter) anyBad() bool {
	for _, t := range w.targets {
		if !t.done && !t.badSince.IsZero() {
			return true
		}
	}
	return false
}

// refresh reads the shares that changed, or all that are pending.
func (w *waiter) refresh(ctx context.Context, dirty map[string]bool, all bool) error {
	var uids []string
	for uid, t := range w.targets {
		if !t.done && (all || dirty[uid]) {
			uids = append(uids, uid)
		}
	}
	if len(uids) <= few {
		for _, uid := range uids {
			s, err := w.c.Shares().Get(ctx, uid)
			if client.CodeOf(err) == "share.not_found" {
				w.gone(w.targets[uid])
				continue
			}
			if err != nil {
				return err
			}
			w.take(s)
		}
		return nil
	}
	seen := map[string]bool{}
	for s, err := range w.c.Shares().All(ctx, client.ListOptions{Limit: 1000}) {
		if err != nil {
			return err
		}
		seen[s.UID] = true
		w.take(s)
	}
	for _, uid := range uids {
		if !seen[uid] {
			w.gone(w.targets[uid])
		}
	}
	return nil
}

func (w *waiter) take(s client.Share) {
	if t := w.targets[s.UID]; t != nil && !t.done {
		t.share = s
		w.tell(t)
		w.judge(t)
	}
}

func (w *waiter) gone(t *target) {
	t.problem = "it was deleted meanwhile"
	w.finish(t)
}

func (w *waiter) finish(t *target) {
	if !t.done {
		t.done = true
		w.pending--
	}
}

// judge finds out whether the share has come to an end.
func (w *waiter) judge(t *target) {
	if t.done {
		return
	}
	ready := t.share.ReadyAt(t.generation)
	switch {
	case t.share.Status.Phase == client.Deleting:
		w.gone(t)
	case ready != nil && ready.Status == "True":
		w.finish(t)
	case ready == nil || ready.Status != "False":
		t.badSince = time.Time{}
	case t.badSince.IsZero():
		t.badSince = time.Now()
	case time.Since(t.badSince) >= settle:
		t.problem = ready.Message + " (" + ready.Reason + ")"
		w.finish(t)
	}
}

// tell writes each change of a condition, while there are few shares.
func (w *waiter) tell(t *target) {
	if len(w.targets) > few {
		return
	}
	for _, c := range t.share.Status.Conditions {
		if c.ObservedGeneration < t.generation {
			continue
		}
		said := c.Status + " " + c.Reason
		if t.told[c.Type] == said {
			continue
		}
		t.told[c.Type] = said
		st := conditionCell(c)
		line := fmt.Sprintf("  %-10s %-10s %-8s %s", clean(t.share.Name), clean(c.Type), w.p.paint(c.Status, st.state), clean(c.Reason))
		if c.Status != "True" && c.Message != "" {
			line += ": " + clean(c.Message)
		}
		w.bar.line(line)
	}
}

// verdict sums up, and returns an error if not every share is Ready.
func (w *waiter) verdict(ctx context.Context) error {
	var failed []string
	for _, t := range w.targets {
		switch {
		case t.problem != "":
			failed = append(failed, clean(t.share.Name)+": "+clean(t.problem))
		case !t.done && errors.Is(ctx.Err(), context.DeadlineExceeded):
			failed = append(failed, clean(t.share.Name)+": not Ready in time: "+clean(stillWhy(t.share)))
		case !t.done:
			failed = append(failed, clean(t.share.Name)+": interrupted while "+clean(stillWhy(t.share)))
		}
	}
	took := time.Since(w.began).Round(10 * time.Millisecond)
	if len(failed) == 0 {
		w.p.notef("%s Ready after %s: a real SMB client has used %s.\n", isAre(len(w.targets)), took, itThem(len(w.targets)))
		return nil
	}
	sortStrings(failed)
	const most = 20
	if len(failed) > most {
		failed = append(failed[:most], fmt.Sprintf("and %d more; see 'smbgw status'", len(failed)-most))
	}
	return &notReadyError{fmt.Sprintf("%d of %d not Ready:\n  %s", w.notReady(), len(w.targets), strings.Join(failed, "\n  "))}
}

func (w *waiter) notReady() int {
	n := 0
	for _, t := range w.targets {
		if t.problem != "" || !t.done {
			n++
		}
	}
	return n
}

// stillWhy says what a share is waiting for.
func stillWhy(s client.Share) string {
	if c := worst(s.Status.Conditions); c != nil && c.ObservedGeneration >= s.Generation {
		return c.Message + " (" + c.Reason + ")"
	}
	return fmt.Sprintf("the node %s has not reported on it; see 'smbgw node get %s'", s.NodeName, s.NodeName)
}

func isAre(n int) string {
	if n == 1 {
		return "The share is"
	}
	return fmt.Sprintf("All %d shares are", n)
}

func itThem(n int) string {
	if n == 1 {
		return "it"
	}
	return "them"
}
