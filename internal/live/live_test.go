package live_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/pve-smb-gateway/smbgw/internal/clock"
	"github.com/pve-smb-gateway/smbgw/internal/db/dbtest"
	"github.com/pve-smb-gateway/smbgw/internal/event"
	"github.com/pve-smb-gateway/smbgw/internal/httpapi"
	"github.com/pve-smb-gateway/smbgw/internal/live"
)

// TestSlowReader floods a client that does not read: it is cut, and another one gets everything meanwhile.
func TestSlowReader(t *testing.T) {
	d := dbtest.SQLite(t, event.Migrations, httpapi.Migrations)
	log := event.NewLog(d, clock.System)
	allow := func(context.Context, string) error { return nil }
	quiet := slog.New(slog.DiscardHandler)
	api := httpapi.New(httpapi.Options{Authorize: allow, Authenticate: func(h http.Handler) http.Handler { return h }, DB: d, Clock: clock.System, Log: quiet})
	done := make(chan struct{})
	live.New(log, allow, quiet, done).Mount(api)
	srv := httptest.NewServer(api.Handler())
	defer srv.Close()
	defer close(done)

	dial := func() *websocket.Conn {
		t.Helper()
		c, _, err := websocket.Dial(t.Context(), srv.URL+httpapi.Prefix+"/live?cursor=0", nil)
		if err != nil {
			t.Fatal(err)
		}
		c.SetReadLimit(-1)
		return c
	}
	slow, good := dial(), dial()
	defer func() { _ = good.CloseNow() }()

	// More than the sockets' buffers take.
	const rounds, each = 100, 100
	name := strings.Repeat("x", 4000)
	go func() {
		for range rounds {
			if err := d.Tx(t.Context(), func(ctx context.Context) error {
				batch := make([]event.Event, each)
				for i := range batch {
					batch[i] = event.Event{Type: "share.changed", Name: name}
				}
				return log.Append(ctx, batch...)
			}); err != nil {
				t.Error(err)
			}
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	for range rounds*each + 1 { // and the hello
		if _, _, err := good.Read(ctx); err != nil {
			t.Fatalf("the reader that keeps up: %v", err)
		}
	}
	// The slow one comes back too late: what is left in the buffers ends in a closed connection, not in all events.
	time.Sleep(live.WriteLimit + time.Second)
	n := 0
	for {
		_, r, err := slow.Reader(ctx)
		if err != nil {
			break
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			break
		}
		n++
	}
	if ctx.Err() != nil || n >= rounds*each {
		t.Errorf("the slow reader got %d of %d, %v", n, rounds*each, ctx.Err())
	}
}
