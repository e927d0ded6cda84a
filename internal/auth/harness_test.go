package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/clock"
	"github.com/pve-smb-gateway/smbgw/internal/db"
	"github.com/pve-smb-gateway/smbgw/internal/db/dbtest"
	"github.com/pve-smb-gateway/smbgw/internal/event"
	"github.com/pve-smb-gateway/smbgw/internal/httpapi"
	"github.com/pve-smb-gateway/smbgw/internal/logx"
)

// cheap keeps the tests fast; TestCurrentCosts uses the real costs.
var cheap = params{memory: 8, time: 1, threads: 1}

const (
	password = "correct horse battery"
	other    = "staple incorrect horse"
)

// trail remembers what was committed.
type trail struct {
	mu   sync.Mutex
	rows []trailRow
}

type trailRow struct {
	event.Change
	Actor event.Actor
}

func (t *trail) Append(ctx context.Context, c event.Change) error {
	if !db.InTx(ctx) {
		return errors.New("outside a transaction")
	}
	row := trailRow{c, event.ActorOf(ctx)}
	db.AfterCommit(ctx, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.rows = append(t.rows, row)
	})
	return nil
}

func (t *trail) Record(ctx context.Context, c event.Change) error { return t.Append(ctx, c) }

func (t *trail) of(action string) (out []trailRow) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range t.rows {
		if r.Action == action {
			out = append(out, r)
		}
	}
	return out
}

type world struct {
	*Service
	db      *db.DB
	clock   *clock.Fake
	trail   *trail
	log     *bytes.Buffer
	handler http.Handler
}

func newWorld(t testing.TB, d *db.DB) *world {
	t.Helper()
	w := &world{db: d, clock: clock.NewFake(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)), trail: &trail{}, log: &bytes.Buffer{}}
	log := logx.New(&locked{w: w.log}, 0)
	w.Service = NewService(d, w.clock, log, w.trail, w.trail)
	w.hasher = newHasher(cheap)
	api := httpapi.New(httpapi.Options{Authorize: w.Authorize, Authenticate: w.Middleware, DB: d, Clock: w.clock, Log: log})
	Mount(api, w.Service)
	for _, p := range []string{"Share.Audit", "Share.Modify"} { // operations of another room
		method := map[bool]string{true: http.MethodPost, false: http.MethodGet}[p == "Share.Modify"]
		httpapi.Register(api, httpapi.Op{ID: p, Method: method, Path: "/shares", Summary: p, Tag: "share", Privilege: p},
			func(ctx context.Context, _ *struct{}) (*struct{ Body event.Actor }, error) {
				return &struct{ Body event.Actor }{event.ActorOf(ctx)}, nil
			})
	}
	w.handler = api.Handler()
	return w
}

type locked struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

func each(t *testing.T, fn func(t *testing.T, w *world)) {
	t.Helper()
	dbtest.Each(t, []db.Migrations{Migrations, httpapi.Migrations}, func(t *testing.T, d *db.DB) { fn(t, newWorld(t, d)) })
}

func lite(t testing.TB) *world {
	t.Helper()
	return newWorld(t, dbtest.SQLite(t, Migrations, httpapi.Migrations))
}

// client is a browser on our pages, or with token a program.
type client struct {
	w       *world
	addr    string
	token   string
	cookies map[string]*http.Cookie
}

func (w *world) client() *client {
	return &client{w: w, addr: "192.0.2.1:4711", cookies: map[string]*http.Cookie{}}
}

// program returns a client with a token.
func (w *world) program(token string) *client {
	c := w.client()
	c.token = token
	return c
}

func (c *client) request(method, path string, body any) *http.Request {
	var r io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			panic(err)
		}
		r = bytes.NewReader(raw)
	}
	req := httptest.NewRequest(method, "https://gw.test"+httpapi.Prefix+path, r)
	req.RemoteAddr = c.addr
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	switch method {
	case http.MethodPut, http.MethodPatch, http.MethodDelete:
		req.Header.Set("If-Match", "*")
	}
	if method == http.MethodPatch {
		req.Header.Set("Content-Type", "application/merge-patch+json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
		return req
	}
	req.Header.Set("Origin", "https://gw.test")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	for _, k := range c.cookies {
		req.AddCookie(&http.Cookie{Name: k.Name, Value: k.Value})
	}
	if k := c.cookies[CSRFCookie]; k != nil {
		req.Header.Set(CSRFHeader, k.Value)
	}
	return req
}

func (c *client) send(req *http.Request) *http.Response {
	w := httptest.NewRecorder()
	c.w.handler.ServeHTTP(w, req)
	res := w.Result()
	for _, k := range res.Cookies() {
		if c.cookies[k.Name] = k; k.MaxAge < 0 {
			delete(c.cookies, k.Name)
		}
	}
	return res
}

// do sends a request and fails the test unless the status is want.
func (c *client) do(t testing.TB, want int, method, path string, body any) map[string]any {
	t.Helper()
	return expect(t, c.send(c.request(method, path, body)), want)
}

func expect(t testing.TB, res *http.Response, want int) map[string]any {
	t.Helper()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != want {
		t.Fatalf("%d, want %d: %s", res.StatusCode, want, raw)
	}
	if want >= 400 && res.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("content type %q of status %d", res.Header.Get("Content-Type"), want)
	}
	var out map[string]any
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &out); err != nil {
			t.Fatalf("%v: %s", err, raw)
		}
	}
	return out
}

type creds map[string]any

// admin does the first set-up and returns the administrator's browser.
func (w *world) admin(t testing.TB) *client {
	t.Helper()
	code, err := w.Bootstrap(t.Context())
	if err != nil || code == "" {
		t.Fatalf("code %q, %v", code, err)
	}
	c := w.client()
	c.do(t, 200, "POST", "/auth/setup", creds{"code": code, "name": "Alice", "password": password})
	return c
}

func (c *client) login(t testing.TB, name, password string) *client {
	t.Helper()
	c.do(t, 200, "POST", "/auth/login", creds{"name": name, "password": password})
	return c
}

// newToken makes a token with the client's login.
func (c *client) newToken(t testing.TB, name string, privileges ...string) (secret, uid string) {
	t.Helper()
	out := c.do(t, 201, "POST", "/tokens", map[string]any{"name": name, "privileges": privileges})
	return out["secret"].(string), out["uid"].(string)
}

func code(t testing.TB, out map[string]any, want string) {
	t.Helper()
	if out["code"] != want {
		t.Errorf("code %v, want %s (%v)", out["code"], want, out["detail"])
	}
}

// dump returns everything that is stored, as text.
func (w *world) dump(t testing.TB) string {
	t.Helper()
	var b strings.Builder
	for _, table := range []string{"auth_account", "auth_session", "auth_token", "auth_state", "httpapi_request"} {
		var rows []map[string]any
		if err := w.db.Conn(t.Context()).NewSelect().Table(table).Scan(t.Context(), &rows); err != nil {
			t.Fatal(err)
		}
		raw, err := json.Marshal(rows)
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(table + ": " + string(raw) + "\n")
	}
	return b.String()
}
