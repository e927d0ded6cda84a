package server

import (
	"context"
	"strings"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/event"
)

// nudge follows the event log and tells the agents whose snapshots have changed. A lost nudge costs time only: agents
// look by themselves as well.
func (s *Server) nudge(ctx context.Context) {
	var cursor int64
	for first := true; ctx.Err() == nil; first = false {
		changed := s.events.Changed()
		head, err := s.events.Head(ctx)
		switch {
		case err != nil:
			s.slog.WarnContext(ctx, "the event log cannot be read", "error", err)
		case first:
			cursor = head
		case head > cursor:
			s.nudgeChanged(ctx, cursor)
			cursor = head
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-time.After(time.Second): // another process on the same store
		}
	}
}

// nudgeChanged nudges the attached nodes in whose scope something happened behind cursor.
func (s *Server) nudgeChanged(ctx context.Context, cursor int64) {
	requestID := ""
	if events, err := s.events.After(ctx, cursor, 1000); err == nil {
		for _, e := range events {
			if e.RequestID != "" && !strings.HasSuffix(e.Type, ".status") {
				requestID = e.RequestID // of several at once, the newest stands for all
			}
		}
	}
	for _, uid := range s.link.Attached() {
		n, err := s.events.Number(ctx, event.Node(uid), event.AllNodes)
		if err != nil || n <= cursor {
			continue
		}
		if r, err := s.nodes.Revision(ctx, uid); err == nil {
			s.link.Nudge(uid, r, requestID)
		}
	}
}
