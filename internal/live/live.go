// Package live sends the event log to consoles and clients: a WebSocket, and server-sent events as fallback.
//
// Owns: the two endpoints and their framing. Does not own: the log (package event) nor what events mean.
//
// Promises: frames come in order; a client that comes back with the number of its last frame misses nothing, or is told
// to read everything anew. A client that does not read is cut, never waited for. A login that ends, ends its stream.
//
// Start reading at [Hub.pump].
package live

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/coder/websocket"
	"github.com/pve-smb-gateway/smbgw/internal/event"
	"github.com/pve-smb-gateway/smbgw/internal/httpapi"
	"github.com/pve-smb-gateway/smbgw/internal/problem"
)

const (
	batch = 500
	// poll finds events that another server process wrote to the same store.
	poll = time.Second
	// keepAlive shows both sides that the other is there.
	keepAlive = 15 * time.Second
	// WriteLimit is how long one frame may take before a client counts as gone.
	WriteLimit = 10 * time.Second
)

// frame is what is sent: an event, or one of the two words hello and reset.
type frame struct {
	Type   string `json:"type"`
	Cursor int64  `json:"cursor"`
}

// Hub serves the streams. It is safe for concurrent use.
type Hub struct {
	log       *event.Log
	authorize func(ctx context.Context, privilege string) error
	slog      *slog.Logger
	done      <-chan struct{}
}

// New returns a hub over log. authorize is asked again while a stream runs; done ends all streams.
func New(log *event.Log, authorize func(context.Context, string) error, l *slog.Logger, done <-chan struct{}) *Hub {
	return &Hub{log: log, authorize: authorize, slog: l, done: done}
}

// Mount registers both endpoints.
func (h *Hub) Mount(api *httpapi.API) {
	api.Handle("GET "+httpapi.Prefix+"/live", httpapi.LoggedIn, http.HandlerFunc(h.serveWebSocket))
	api.Handle("GET "+httpapi.Prefix+"/live/events", httpapi.LoggedIn, http.HandlerFunc(h.serveSSE))
}

// cursor returns where the client wants to go on; without one, it starts at the newest event.
func (h *Hub) cursor(r *http.Request) (int64, error) {
	text := r.URL.Query().Get("cursor")
	if text == "" {
		text = r.Header.Get("Last-Event-ID")
	}
	if text == "" {
		return h.log.Head(r.Context())
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, problem.New(http.StatusBadRequest, problem.CodeInvalid, "cursor: the number of the last event that was seen.")
	}
	return n, nil
}

// pump sends events behind cursor until ctx ends or send fails. idle is called when there was nothing to send for a
// while.
func (h *Hub) pump(ctx context.Context, cursor int64, send func(id int64, v any) error, idle func() error) error {
	if err := send(cursor, frame{"hello", cursor}); err != nil {
		return err
	}
	last := time.Now()
	for {
		changed := h.log.Changed()
		events, err := h.log.After(ctx, cursor, batch)
		if errors.Is(err, event.ErrPruned) {
			if cursor, err = h.log.Head(ctx); err == nil {
				err = send(cursor, frame{"reset", cursor})
			}
		}
		if err != nil {
			return err
		}
		for i := range events {
			if err := send(events[i].Seq, &events[i]); err != nil {
				return err
			}
			cursor = events[i].Seq
		}
		if len(events) == batch {
			continue
		}
		if len(events) > 0 {
			last = time.Now()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-h.done:
			return errClosing
		case <-changed:
		case <-time.After(poll):
			if time.Since(last) < keepAlive {
				continue
			}
			if err := h.authorize(ctx, httpapi.LoggedIn); err != nil {
				return err
			}
			if err := idle(); err != nil {
				return err
			}
			last = time.Now()
		}
	}
}

var errClosing = errors.New("live: the server is closing")

func (h *Hub) serveWebSocket(w http.ResponseWriter, r *http.Request) {
	cursor, err := h.cursor(r)
	if err != nil {
		httpapi.WriteProblem(w, r, err)
		return
	}
	c, err := websocket.Accept(w, r, nil) // refuses other origins
	if err != nil {
		return // Accept has answered
	}
	defer func() { _ = c.CloseNow() }()
	ctx := c.CloseRead(r.Context()) // clients have nothing to say; this sees them go
	err = h.pump(ctx, cursor, func(_ int64, v any) error {
		data, err := json.Marshal(v)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, WriteLimit)
		defer cancel()
		return c.Write(ctx, websocket.MessageText, data)
	}, func() error {
		ctx, cancel := context.WithTimeout(ctx, WriteLimit)
		defer cancel()
		return c.Ping(ctx)
	})
	if errors.Is(err, errClosing) {
		_ = c.Close(websocket.StatusGoingAway, "the server is closing")
		return
	}
	h.slog.DebugContext(r.Context(), "live stream ended", "error", err)
}

func (h *Hub) serveSSE(w http.ResponseWriter, r *http.Request) {
	cursor, err := h.cursor(r)
	if err != nil {
		httpapi.WriteProblem(w, r, err)
		return
	}
	out := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	write := func(text string) error {
		if err := out.SetWriteDeadline(time.Now().Add(WriteLimit)); err != nil {
			return err
		}
		if _, err := w.Write([]byte(text)); err != nil {
			return err
		}
		return out.Flush()
	}
	err = h.pump(r.Context(), cursor, func(id int64, v any) error {
		data, err := json.Marshal(v)
		if err != nil {
			return err
		}
		return write(fmt.Sprintf("id: %d\ndata: %s\n\n", id, data))
	}, func() error { return write(": still here\n\n") })
	h.slog.DebugContext(r.Context(), "live stream ended", "error", err)
}
