package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// serve returns a client of a server that answers with h. Waits between tries are recorded and take no time.
func serve(t *testing.T, h http.HandlerFunc) (*Client, *[]time.Duration) {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	c, err := New(Options{Server: srv.URL, Token: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	// Go's transport repeats some requests by itself on a kept-alive connection that was closed; with a connection for each
	// request only our tries are counted.
	c.http.Transport.(*http.Transport).DisableKeepAlives = true
	var mu sync.Mutex
	waits := &[]time.Duration{}
	c.wait = func(ctx context.Context, d time.Duration) error {
		mu.Lock()
		defer mu.Unlock()
		*waits = append(*waits, d)
		return ctx.Err()
	}
	return c, waits
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func problemAnswer(w http.ResponseWriter, status int, code string, retryable bool) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(Problem{Status: status, Code: code, Detail: "Detail of " + code + ".", Retryable: retryable, RequestID: "req-12345678"})
}

func TestCreateKeepsItsKeyOverRetries(t *testing.T) {
	var keys, ids []string
	c, waits := serve(t, func(w http.ResponseWriter, r *http.Request) {
		keys, ids = append(keys, r.Header.Get("Idempotency-Key")), append(ids, r.Header.Get("X-Request-ID"))
		if got := r.Header.Get("Authorization"); got != "Bearer secret" {
			t.Errorf("Authorization: %q", got)
		}
		switch len(keys) {
		case 1:
			problemAnswer(w, http.StatusServiceUnavailable, "server.unavailable", true)
		case 2: // the answer is lost on its way
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_ = conn.Close()
		default:
			body, _ := io.ReadAll(r.Body)
			if got := strings.TrimSpace(string(body)); got != `{"name":"docs"}` {
				t.Errorf("body %s: what was not said must not be sent", got)
			}
			answer(w, http.StatusAccepted, Share{Meta: Meta{UID: "u1", Generation: 1, Revision: 1}, Name: "docs"})
		}
	})
	s, err := c.Shares().Create(t.Context(), ShareSpec{Name: "docs"})
	if err != nil || s.UID != "u1" {
		t.Fatalf("%+v, %v", s, err)
	}
	if len(keys) != 3 || keys[0] == "" || keys[0] != keys[1] || keys[1] != keys[2] {
		t.Errorf("keys %q: want the same three times", keys)
	}
	if ids[0] != ids[2] {
		t.Errorf("request IDs %q: want one for all tries", ids)
	}
	if len(*waits) != 2 {
		t.Errorf("waited %v, want twice", *waits)
	}
	keys = []string{"", ""}
	if _, err := c.Shares().Create(t.Context(), ShareSpec{Name: "docs"}); err != nil {
		t.Fatal(err)
	}
	if keys[2] == "" || keys[2] == ids[0] {
		t.Errorf("a new create needs a new key: %q", keys[2])
	}
}

func TestRetriesOnlyWhatIsSafe(t *testing.T) {
	for _, tt := range []struct {
		name  string
		reply func(w http.ResponseWriter)
		call  func(*Client) error
		tries int
	}{
		{"a conflict is an answer", func(w http.ResponseWriter) { problemAnswer(w, 409, "share.name_taken", false) },
			func(c *Client) error { _, err := c.Shares().Create(context.Background(), ShareSpec{}); return err }, 1},
		{"a change whose answer was lost may have happened", drop,
			func(c *Client) error {
				_, err := c.Shares().Patch(context.Background(), "u", `"1"`, map[string]any{"comment": "x"})
				return err
			}, 1},
		{"reading is always safe", drop, func(c *Client) error { _, err := c.Shares().Get(context.Background(), "u"); return err }, 4},
		{"a refused change was not made", func(w http.ResponseWriter) { problemAnswer(w, 503, "server.unavailable", true) },
			func(c *Client) error { _, err := c.Shares().Delete(context.Background(), "u", Any); return err }, 4},
		{"too many requests", func(w http.ResponseWriter) { problemAnswer(w, 429, "request.rate_limited", false) },
			func(c *Client) error { _, err := c.Me(context.Background()); return err }, 4},
		{"an internal error is not asked again", func(w http.ResponseWriter) { problemAnswer(w, 500, "server.internal", false) },
			func(c *Client) error { _, err := c.Me(context.Background()); return err }, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var tries atomic.Int64
			c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
				tries.Add(1)
				tt.reply(w)
			})
			if err := tt.call(c); err == nil {
				t.Fatal("want an error")
			}
			if got := int(tries.Load()); got != tt.tries {
				t.Errorf("%d tries, want %d", got, tt.tries)
			}
		})
	}
}

func drop(w http.ResponseWriter) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_ = conn.Close()
	}
}

func TestRetryAfterIsObeyed(t *testing.T) {
	n := 0
	c, waits := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if n++; n == 1 {
			w.Header().Set("Retry-After", "7")
			problemAnswer(w, http.StatusTooManyRequests, "request.rate_limited", true)
			return
		}
		answer(w, 200, Identity{Name: "me"})
	})
	if _, err := c.Me(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(*waits) != 1 || (*waits)[0] != 7*time.Second {
		t.Errorf("waited %v, want 7s", *waits)
	}
}

func TestDownServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	c, err := New(Options{Server: "http://" + address})
	if err != nil {
		t.Fatal(err)
	}
	tries := 0
	c.wait = func(context.Context, time.Duration) error { tries++; return nil }
	_, err = c.Shares().Delete(t.Context(), "u", Any)
	var u *Unreachable
	if !errors.As(err, &u) || !strings.Contains(err.Error(), address) {
		t.Errorf("%v, want Unreachable naming %s", err, address)
	}
	if tries != 3 {
		t.Errorf("%d tries after the first, want 3: a server that restarts is worth waiting for", tries)
	}
}

func TestProblem(t *testing.T) {
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusUnprocessableEntity)
		_, _ = io.WriteString(w, `{"status":422,"code":"request.invalid","detail":"2 fields are wrong","retryable":false,"requestID":"r-1",
			"errors":[{"pointer":"/name","code":"share.name_invalid","detail":"Bad name."},{"pointer":"/validUsers/0","code":"share.unknown_principal","detail":"No bob."}]}`)
	})
	_, err := c.Shares().Create(t.Context(), ShareSpec{})
	var p *Problem
	if !errors.As(err, &p) || p.Code != "request.invalid" || p.RequestID != "r-1" || len(p.Errors) != 2 || p.Errors[1].Pointer != "/validUsers/0" {
		t.Fatalf("%#v", err)
	}
	if got := err.Error(); !strings.Contains(got, "name: Bad name.") || !strings.Contains(got, "validUsers/0: No bob.") {
		t.Errorf("text %q names not every field", got)
	}
}

func TestForeignAnswers(t *testing.T) {
	for _, tt := range []struct {
		status    int
		body      string
		retryable bool
	}{{502, "<html>Bad Gateway</html>", true}, {404, "404 page not found", false}, {500, "{}", false}, {503, "", true}, {301, "", false}} {
		c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "http://127.0.0.1:1/elsewhere")
			w.WriteHeader(tt.status)
			_, _ = io.WriteString(w, tt.body)
		})
		_, err := c.Me(t.Context())
		var p *Problem
		if !errors.As(err, &p) || p.Status != tt.status || p.Code != fmt.Sprintf("http.%d", tt.status) || p.RequestID == "" {
			t.Errorf("%d: %#v", tt.status, err)
			continue
		}
		if retryable(http.MethodGet, err) != tt.retryable {
			t.Errorf("%d: retryable %v, want %v", tt.status, !tt.retryable, tt.retryable)
		}
	}
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "<html>hello</html>") })
	if _, err := c.Me(t.Context()); err == nil || !strings.Contains(err.Error(), "PVE SMB Gateway") {
		t.Errorf("a page in place of JSON: %v", err)
	}
}

func TestAllWalksOverPages(t *testing.T) {
	var cursors []string
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		cursors = append(cursors, q.Get("cursor"))
		if q.Get("filter") != `ready eq "False"` || q.Get("limit") != "2" {
			t.Errorf("query %v", q)
		}
		switch q.Get("cursor") {
		case "":
			answer(w, 200, Page[Share]{Items: []Share{{Name: "a"}, {Name: "b"}}, NextCursor: "c1", Total: 3})
		case "c1":
			answer(w, 200, Page[Share]{Items: []Share{{Name: "c"}}, Total: 3})
		default:
			problemAnswer(w, 400, "request.invalid", false)
		}
	})
	opts := ListOptions{Filter: `ready eq "False"`, Limit: 2}
	var names []string
	for s, err := range c.Shares().All(t.Context(), opts) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, s.Name)
	}
	if fmt.Sprint(names) != "[a b c]" || fmt.Sprint(cursors) != "[ c1]" {
		t.Errorf("names %v, cursors %v", names, cursors)
	}
	cursors = nil
	for range c.Shares().All(t.Context(), opts) {
		break
	}
	if len(cursors) != 1 {
		t.Errorf("a loop that breaks must not read on: %d pages", len(cursors))
	}
}

func TestFind(t *testing.T) {
	const uid = "0198a2b4-0000-7000-8000-000000000001"
	var filters []string
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/shares/"+uid) {
			answer(w, 200, Share{Meta: Meta{UID: uid}, Name: "byuid"})
			return
		}
		filters = append(filters, r.URL.Query().Get("filter"))
		page := Page[Share]{Items: []Share{}}
		if r.URL.Query().Get("filter") == `name eq "docs"` {
			page.Items = append(page.Items, Share{Name: "docs"})
		}
		answer(w, 200, page)
	})
	for ref, want := range map[string]string{"docs": "docs", "DOCS": "docs", uid: "byuid"} {
		s, err := c.Shares().Find(t.Context(), ref)
		if err != nil || s.Name != want {
			t.Errorf("Find(%q) = %q, %v", ref, s.Name, err)
		}
	}
	filters = nil
	_, err := c.Shares().Find(t.Context(), `no"such\thing`)
	if CodeOf(err) != "share.not_found" {
		t.Errorf("%v, want share.not_found", err)
	}
	if want := `name eq "no\"such\\thing"`; len(filters) != 1 || filters[0] != want {
		t.Errorf("filters %q, want %q", filters, want)
	}
}

func TestIfMatch(t *testing.T) {
	var got []string
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Method+" "+r.Header.Get("If-Match")+" "+r.Header.Get("Content-Type"))
		if r.Method == http.MethodDelete {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		answer(w, 200, Share{})
	})
	m := Meta{Revision: 12}
	if _, err := c.Shares().Replace(t.Context(), "u", m.ETag(), ShareSpec{}); err != nil {
		t.Error(err)
	}
	if _, err := c.Shares().Patch(t.Context(), "u", m.ETag(), map[string]any{}); err != nil {
		t.Error(err)
	}
	if _, err := c.Shares().Delete(t.Context(), "u", Any); err != nil {
		t.Error(err)
	}
	if want := `[PUT "12" application/json PATCH "12" application/merge-patch+json DELETE * ]`; fmt.Sprint(got) != want {
		t.Errorf("%v, want %s", got, want)
	}
}

func TestLoginSession(t *testing.T) {
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/api/v2/auth/login":
			http.SetCookie(w, &http.Cookie{Name: "__Host-smbgw_session", Value: "s3cret", Secure: true, Path: "/"})
			http.SetCookie(w, &http.Cookie{Name: "smbgw_csrf", Value: "c5rf", Path: "/"})
			w.WriteHeader(http.StatusNoContent)
		case "/api/v2/tokens":
			if k, err := r.Cookie("__Host-smbgw_session"); err != nil || k.Value != "s3cret" || r.Header.Get("X-CSRF-Token") != "c5rf" {
				t.Errorf("cookies %v, CSRF %q", r.Cookies(), r.Header.Get("X-CSRF-Token"))
			}
			answer(w, 201, Token{Name: "cli", Secret: "tok"})
		case "/api/v2/auth/logout":
			w.WriteHeader(http.StatusNoContent)
		default:
			if len(r.Cookies()) > 0 {
				t.Errorf("cookies after logout: %v", r.Cookies())
			}
			answer(w, 200, Identity{})
		}
	})
	c.opts.Token = ""
	if err := c.Login(t.Context(), "admin", "password"); err != nil {
		t.Fatal(err)
	}
	tok, err := c.Tokens().Create(t.Context(), TokenSpec{Name: "cli"})
	if err != nil || tok.Secret != "tok" {
		t.Fatalf("%+v, %v", tok, err)
	}
	if err := c.Logout(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Me(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestNewRefuses(t *testing.T) {
	for _, o := range []Options{
		{}, {Server: "ftp://host"}, {Server: "https://"}, {Server: "http://gateway.example:80"}, {Server: "https://u:p@host"},
		{Server: "https://host?x=1"}, {Server: "https://host", Fingerprint: "SHA256:short"}, {Server: "https://host", Fingerprint: "md5:abc"},
		{Server: "https://host", CAFile: "/no/such/file"}, {Server: "ho st"},
	} {
		if c, err := New(o); err == nil {
			t.Errorf("%+v was taken: %s", o, c.Server())
		}
	}
	for in, want := range map[string]string{"host:8443": "https://host:8443", "https://host/": "https://host", "http://127.0.0.1:80": "http://127.0.0.1:80", "[::1]:1": "https://[::1]:1"} {
		c, err := New(Options{Server: in})
		if err != nil || c.Server() != want {
			t.Errorf("%q: %v, %v; want %s", in, c, err, want)
		}
	}
}
