package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// Event tells that something changed. Read the object to learn what.
type Event struct {
	Seq       int64     `json:"seq"`
	Type      string    `json:"type"`
	Kind      string    `json:"kind"`
	UID       string    `json:"uid"`
	Name      string    `json:"name"`
	Revision  int64     `json:"revision"`
	At        time.Time `json:"at"`
	RequestID string    `json:"requestID"`
	// Cursor is in events of type [Hello] only.
	Cursor int64 `json:"cursor"`
}

// Types of events that speak of the stream itself.
const (
	// Hello is the first event: whatever changes from now on will be told.
	Hello = "hello"
	// Reset tells that events may be missing: read everything anew.
	Reset = "reset"
)

// PollEvery is how often [Client.Events] yields a [Reset] when neither WebSocket nor SSE gets through.
const PollEvery = 2 * time.Second

// errNoStream tells that something in between does not let this kind of stream through.
var errNoStream = errors.New("no such stream here")

// Events yields what changes from now on, until ctx ends or the server refuses for good. A drop is mended inside, with
// the cursor, so that nothing is lost. It uses the WebSocket, else server-sent events, else tells the caller to poll.
func (c *Client) Events(ctx context.Context) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		s := &stream{c: c, cursor: -1, yield: yield}
		ways := []func(context.Context) error{s.websocket, s.sse, s.poll}
		for fails := 0; ctx.Err() == nil && !s.stopped; fails++ {
			before := s.seen
			err := ways[0](ctx)
			if s.seen != before {
				fails = 0
			}
			switch {
			case s.stopped || ctx.Err() != nil:
				return
			case errors.Is(err, errNoStream):
				ways = ways[1:]
				continue
			case refused(err):
				yield(Event{}, err)
				return
			}
			if c.wait(ctx, backoff(min(fails, 5), nil)) != nil {
				return
			}
		}
	}
}

func refused(err error) bool {
	var p *Problem
	return errors.Is(err, ErrFingerprint) || errors.As(err, &p) && !retryable(http.MethodGet, err)
}

type stream struct {
	c       *Client
	cursor  int64 // -1 until the first hello
	seen    int   // how many events came
	stopped bool
	yield   func(Event, error) bool
}

func (s *stream) take(raw []byte) error {
	var e Event
	if err := json.Unmarshal(raw, &e); err != nil {
		return err
	}
	switch {
	case e.Type == Hello && s.cursor < 0, e.Type == Reset && e.Cursor > 0:
		s.cursor = e.Cursor
	case e.Seq > s.cursor:
		s.cursor = e.Seq
	case e.Type != Hello && e.Type != Reset:
		return nil // seen before the drop
	}
	s.seen++
	if !s.yield(e, nil) {
		s.stopped = true
		return io.EOF
	}
	return nil
}

func (s *stream) query() string {
	if s.cursor < 0 {
		return ""
	}
	return "?cursor=" + strconv.FormatInt(s.cursor, 10)
}

func (s *stream) websocket(ctx context.Context) error {
	h := http.Header{}
	s.c.header(h, http.MethodGet)
	address := "ws" + strings.TrimPrefix(s.c.base.String(), "http") + Prefix + "/live" + s.query()
	conn, res, err := websocket.Dial(ctx, address, &websocket.DialOptions{HTTPClient: s.c.http, HTTPHeader: h})
	if err != nil {
		if res != nil {
			return noStream(res)
		}
		return s.c.unreachable(ctx, err)
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(1 << 20)
	for {
		_, raw, err := conn.Read(ctx)
		if err != nil {
			return err
		}
		if err := s.take(raw); err != nil {
			return err
		}
	}
}

// noStream tells refusals (which other ways would meet too) from a proxy that does not know this kind of stream.
func noStream(res *http.Response) error {
	switch res.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests, http.StatusServiceUnavailable:
		body, _ := io.ReadAll(io.LimitReader(res.Body, 1<<16)) // what was read is good enough
		return problemOf(res, body, "")
	}
	return errNoStream
}

func (s *stream) sse(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.c.base.String()+Prefix+"/live/events"+s.query(), nil)
	if err != nil {
		return err
	}
	s.c.header(req.Header, http.MethodGet)
	req.Header.Set("Accept", "text/event-stream")
	res, err := s.c.http.Do(req)
	if err != nil {
		return s.c.unreachable(ctx, err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		return noStream(res)
	}
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	var data strings.Builder
	for lines.Scan() {
		line := lines.Text()
		if value, ok := strings.CutPrefix(line, "data:"); ok {
			data.WriteString(strings.TrimPrefix(value, " "))
		} else if line == "" && data.Len() > 0 {
			if err := s.take([]byte(data.String())); err != nil {
				return err
			}
			data.Reset()
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return io.ErrUnexpectedEOF
}

func (s *stream) poll(ctx context.Context) error {
	for {
		if err := s.take([]byte(`{"type":"reset"}`)); err != nil {
			return err
		}
		if err := s.c.wait(ctx, PollEvery); err != nil {
			return err
		}
	}
}
