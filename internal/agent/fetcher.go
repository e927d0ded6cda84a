package agent

import (
	"context"
	"errors"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/link"
	"github.com/pve-smb-gateway/smbgw/internal/logx"
	"github.com/pve-smb-gateway/smbgw/internal/samba"
)

// fetcher gets snapshots from the server and stores them. Nudges are hints: one that is lost is made up for by the next
// look, and one that comes twice or late finds nothing new.
type fetcher struct {
	c      Config
	store  *store
	board  *board
	passes *passes
}

// The pauses after a fetch that failed while the link stood.
const (
	retryFetchMin = time.Second
	retryFetchMax = 30 * time.Second
)

func (f *fetcher) run(ctx context.Context) {
	look := time.NewTicker(f.c.PassEvery)
	defer look.Stop()
	var again <-chan time.Time
	backoff := retryFetchMin
	for {
		requestID, nudged := "", false
		select {
		case <-ctx.Done():
			return
		case n := <-f.c.Link.Nudges():
			requestID, nudged = n.RequestID, true
		case <-look.C:
		case <-again:
		}
		err := f.fetch(logx.WithRequestID(ctx, requestID), nudged)
		if err != nil && !errors.Is(err, link.ErrOffline) && ctx.Err() == nil {
			f.c.Log.WarnContext(logx.WithRequestID(ctx, requestID), "snapshot not taken", "error", err)
			again = time.After(backoff)
			backoff = min(2*backoff, retryFetchMax)
			continue
		}
		again, backoff = nil, retryFetchMin
	}
}

func (f *fetcher) fetch(ctx context.Context, nudged bool) error {
	got, err := f.c.Link.FetchSnapshot(ctx, f.store.revision())
	if errors.Is(err, link.ErrNewerFormat) {
		f.board.refused(&samba.Problem{Reason: "snapshot.newer_format",
			Message: "The server sends snapshots of a newer format than this agent knows; the node keeps to the one it has. Upgrade smbgw on the node."})
	}
	if err != nil {
		return err
	}
	if got.Snapshot == nil {
		f.board.refused(nil)
		if err := f.store.confirm(); err != nil {
			return err
		}
		if nudged { // after an attach: the server may know less of us than we have told
			f.board.changed()
		}
		return nil
	}
	news, err := f.store.put(got.Snapshot, got.Raw)
	f.board.refused(nil)
	f.board.changed()
	if err != nil || !news {
		return err
	}
	f.c.Log.InfoContext(ctx, "snapshot stored", "revision", got.Snapshot.Revision.String(), "shares", len(got.Snapshot.Shares))
	f.passes.now(logx.RequestID(ctx))
	return nil
}
