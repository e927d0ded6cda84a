package agent

import (
	"context"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/desired"
	"github.com/pve-smb-gateway/smbgw/internal/logx"
	"github.com/pve-smb-gateway/smbgw/internal/reconcile"
)

// passes makes the node what the stored snapshot says: at the start, when a snapshot has come, and every PassEvery.
type passes struct {
	c      Config
	store  *store
	board  *board
	probes *probes
	node   reconcile.Node
	// prepare makes Samba's configuration, if it is not there.
	prepare func(ctx context.Context) error
	wake    chan string // request ID of the change that a pass is wanted for

	// Of the goroutine of run.
	done desired.Revision // of the last pass without an error
}

// The pauses before a pass that met an error is tried again.
const (
	retryPassMin = time.Second
	retryPassMax = 30 * time.Second
)

// now asks for a pass. It does not wait.
func (p *passes) now(requestID string) {
	for {
		select {
		case p.wake <- requestID:
			return
		case <-p.wake: // the newer one speaks for both
		}
	}
}

func (p *passes) run(ctx context.Context) {
	every := time.NewTicker(p.c.PassEvery)
	defer every.Stop()
	backoff := retryPassMin
	requestID := ""
	for ctx.Err() == nil {
		var retry <-chan time.Time
		if err := p.pass(logx.WithRequestID(ctx, requestID)); err != nil {
			retry = time.After(backoff)
			backoff = min(2*backoff, retryPassMax)
		} else {
			backoff = retryPassMin
		}
		requestID = ""
		select {
		case <-ctx.Done():
		case requestID = <-p.wake:
		case <-every.C:
		case <-retry:
		}
	}
}

// pass walks through one pass. Without a snapshot nothing is done: not to know is no reason to remove.
func (p *passes) pass(ctx context.Context) error {
	snap, _ := p.store.get()
	if snap == nil {
		p.board.changed()
		return nil
	}
	began := time.Now()
	err := p.prepare(ctx)
	var result reconcile.Result
	if err == nil {
		result, err = reconcile.Pass(ctx, p.c.Driver, snap, reconcile.Options{
			Node: p.node, Policy: p.c.Policy, LastEpoch: p.store.lastEpoch(), Remember: p.store.remember})
	}
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		p.c.Log.ErrorContext(ctx, "pass failed", "revision", snap.Revision.String(), "error", err)
	}
	if len(result.Steps) > 0 {
		p.c.Log.InfoContext(ctx, "applied", "revision", snap.Revision.String(), "steps", len(result.Steps), "done", result.Done,
			"took", time.Since(began).String())
	}
	p.board.passed(snap, result, err)
	if result.Outcomes != nil || len(snap.Shares) == 0 {
		p.probes.plan(ctx, snap, result, snap.Revision != p.done || len(result.Steps) > 0)
	}
	if err == nil {
		p.done = snap.Revision
	}
	return err
}
