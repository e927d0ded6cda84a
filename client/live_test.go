package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// collect takes n events and ends the stream.
func collect(t *testing.T, c *Client, n int) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var got []string
	for e, err := range c.Events(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Type == Hello || e.Type == Reset {
			got = append(got, e.Type)
		} else {
			got = append(got, fmt.Sprint(e.Seq))
		}
		if len(got) == n {
			break
		}
	}
	if len(got) < n {
		t.Fatalf("only %v came", got)
	}
	return got
}

func say(t *testing.T, c *websocket.Conn, frames ...string) {
	for _, f := range frames {
		if err := c.Write(t.Context(), websocket.MessageText, []byte(f)); err != nil {
			t.Error(err)
		}
	}
}

func TestWebSocketResumes(t *testing.T) {
	var cursors []string
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" {
			t.Errorf("no token on the WebSocket")
		}
		cursors = append(cursors, r.URL.Query().Get("cursor"))
		ws, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		if len(cursors) == 1 {
			say(t, ws, `{"type":"hello","cursor":5}`, `{"seq":6,"type":"share.changed"}`, `{"seq":8,"type":"share.changed"}`)
			_ = ws.CloseNow() // a drop
			return
		}
		// The same event twice, as a server may say it around a drop.
		say(t, ws, `{"type":"hello","cursor":8}`, `{"seq":8,"type":"share.changed"}`, `{"seq":9,"type":"share.changed"}`)
		_, _, _ = ws.Read(r.Context())
	})
	if got := fmt.Sprint(collect(t, c, 5)); got != "[hello 6 8 hello 9]" {
		t.Errorf("events %s", got)
	}
	if fmt.Sprint(cursors) != "[ 8]" {
		t.Errorf("cursors %q: want to go on at 8", cursors)
	}
}

func TestFallbackToSSE(t *testing.T) {
	var cursors []string
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v2/live/events" {
			http.Error(w, "this proxy does not know WebSockets", http.StatusBadRequest)
			return
		}
		cursors = append(cursors, r.URL.Query().Get("cursor"))
		w.Header().Set("Content-Type", "text/event-stream")
		if len(cursors) == 1 {
			_, _ = fmt.Fprint(w, "id: 3\ndata: {\"type\":\"hello\",\"cursor\":3}\n\n: still here\n\nid: 4\ndata: {\"seq\":4,\"type\":\"x\"}\n\n")
			return // a drop
		}
		_, _ = fmt.Fprint(w, "data: {\"type\":\"hello\",\"cursor\":4}\n\ndata: {\"seq\":5,\"type\":\"x\"}\n\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	if got := fmt.Sprint(collect(t, c, 4)); got != "[hello 4 hello 5]" {
		t.Errorf("events %s", got)
	}
	if fmt.Sprint(cursors) != "[ 4]" {
		t.Errorf("cursors %q", cursors)
	}
}

func TestPollingAsTheLastWay(t *testing.T) {
	c, waits := serve(t, func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) })
	if got := fmt.Sprint(collect(t, c, 3)); got != "[reset reset reset]" {
		t.Errorf("events %s", got)
	}
	if len(*waits) != 2 || (*waits)[0] != PollEvery {
		t.Errorf("waits %v, want %v between polls", *waits, PollEvery)
	}
}

func TestARefusedStreamEnds(t *testing.T) {
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		problemAnswer(w, http.StatusUnauthorized, "auth.unauthenticated", false)
	})
	n := 0
	for _, err := range c.Events(t.Context()) {
		n++
		var p *Problem
		if !errors.As(err, &p) || p.Code != "auth.unauthenticated" {
			t.Errorf("%v, want the problem", err)
		}
	}
	if n != 1 {
		t.Errorf("%d values, want one error", n)
	}
}

func TestEventsEndWithTheContext(t *testing.T) {
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		ws, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		say(t, ws, `{"type":"hello","cursor":1}`)
		_, _, _ = ws.Read(r.Context())
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range c.Events(ctx) {
			cancel()
		}
	}()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Fatal("the stream goes on after its context ended")
	}
	cancel()
}
