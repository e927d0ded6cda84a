package server_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/pve-smb-gateway/smbgw/internal/logx"
	"github.com/pve-smb-gateway/smbgw/internal/server"
)

// running is a server in this process, spoken to over real TLS.
type running struct {
	t     *testing.T
	s     *server.Server
	http  *http.Client
	token string
	log   *syncBuffer
	stop  func()
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func start(t *testing.T, dir string) *running {
	t.Helper()
	log := &syncBuffer{}
	s, err := server.New(t.Context(), server.Config{Dir: dir, Listen: "127.0.0.1:0", Version: "test", Log: logx.New(log, slog.LevelDebug)})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "cli-token")
	if err := s.LocalToken(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	token, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	var once sync.Once
	r := &running{t: t, s: s, token: strings.TrimSpace(string(token)), log: log,
		// The CA is proven elsewhere; here the transport only has to be the real one.
		http: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}},
		stop: func() {
			once.Do(func() {
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		}}
	t.Cleanup(r.stop)
	return r
}

type answer struct {
	status int
	header http.Header
	raw    string
	body   map[string]any
}

func (r *running) do(method, path, body string, headers ...string) answer {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.s.URL()+"/api/v2"+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+r.token)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i+1] == "" {
			req.Header.Del(headers[i])
		} else {
			req.Header.Set(headers[i], headers[i+1])
		}
	}
	res, err := r.http.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	a := answer{status: res.StatusCode, header: res.Header, raw: string(raw)}
	if len(raw) > 0 && strings.Contains(res.Header.Get("Content-Type"), "json") {
		if err := json.Unmarshal(raw, &a.body); err != nil {
			r.t.Fatalf("%s %s: %v in %s", method, path, err, raw)
		}
	}
	return a
}

// expect fails unless the answer is a problem with this status and code.
func (a answer) expect(t *testing.T, what string, status int, code string) {
	t.Helper()
	if a.status != status || a.body["code"] != code {
		t.Errorf("%s: %d %v, want %d %s\n%s", what, a.status, a.body["code"], status, code, a.raw)
		return
	}
	if a.header.Get("Content-Type") != "application/problem+json" || a.body["requestID"] != a.header.Get("X-Request-ID") || a.body["detail"] == "" {
		t.Errorf("%s: not a whole problem: %v %s", what, a.header, a.raw)
	}
}

func TestDeniedByDefault(t *testing.T) {
	r := start(t, t.TempDir())
	var spec struct {
		Paths map[string]map[string]struct {
			OperationID string `json:"operationId"`
			Privilege   string `json:"x-privilege"`
		} `json:"paths"`
	}
	res, err := r.http.Get(r.s.URL() + "/api/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewDecoder(res.Body).Decode(&spec); err != nil {
		t.Fatal(err)
	}
	narrow := r.narrowToken()
	var public []string
	for path, ops := range spec.Paths {
		path, ok := strings.CutPrefix(path, "/api/v2")
		if !ok {
			t.Errorf("%s is outside the API", path)
		}
		path = strings.ReplaceAll(strings.ReplaceAll(path, "{uid}", "x"), "{", "")
		for method, op := range ops {
			method = strings.ToUpper(method)
			if op.Privilege == "public" {
				public = append(public, op.OperationID)
				continue
			}
			r.do(method, path, "", "Authorization", "", "If-Match", "*").expect(t, op.OperationID+" without a login", 401, "auth.unauthenticated")
			r.do(method, path, "", "Authorization", "Bearer smbgw_wrong", "If-Match", "*").expect(t, op.OperationID+" with a wrong token", 401, "auth.unauthenticated")
			if op.Privilege != "loggedIn" && op.Privilege != "Setting.Audit" {
				r.do(method, path, "", "Authorization", "Bearer "+narrow, "If-Match", "*").
					expect(t, op.OperationID+" with a token for something else", 403, "auth.forbidden")
			}
		}
	}
	slices.Sort(public)
	if got := strings.Join(public, " "); got != "get-auth-status get-health get-version login setup" {
		t.Errorf("operations without a login: %s", got)
	}
}

// narrowToken sets up an account by the one-time code and returns a token of it that may next to nothing.
func (r *running) narrowToken() string {
	r.t.Helper()
	code, err := r.s.Bootstrap(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	login := r.do("POST", "/auth/setup", fmt.Sprintf(`{"code":%q,"name":"admin","password":"correct horse 1"}`, code), "Authorization", "", "Origin", r.s.URL())
	cookies, csrf := "", ""
	for _, c := range (&http.Response{Header: login.header}).Cookies() {
		cookies += c.Name + "=" + c.Value + "; "
		if c.Name == "smbgw_csrf" {
			csrf = c.Value
		}
	}
	made := r.do("POST", "/tokens", `{"name":"nothing","privileges":["Setting.Audit"]}`, "Authorization", "", "Cookie", cookies, "X-CSRF-Token", csrf, "Origin", r.s.URL())
	secret, _ := made.body["secret"].(string)
	if made.status != 201 || secret == "" {
		r.t.Fatalf("set-up %d %s, token %d %s", login.status, login.raw, made.status, made.raw)
	}
	return secret
}

func TestManners(t *testing.T) {
	r := start(t, t.TempDir())
	made := r.do("POST", "/users", `{"name":"alice","password":"correct horse 1"}`, "Idempotency-Key", "k1", "X-Request-ID", "click-0001")
	if made.status != 201 || made.header.Get("ETag") != `"1"` || made.header.Get("X-Request-ID") != "click-0001" {
		t.Fatalf("create: %d %v %s", made.status, made.header, made.raw)
	}
	if strings.Contains(made.raw, "correct horse") {
		t.Error("the password is in the answer")
	}
	path := fmt.Sprint("/users/", made.body["uid"])

	again := r.do("POST", "/users", `{"name":"alice","password":"correct horse 1"}`, "Idempotency-Key", "k1")
	if again.status != 201 || again.body["uid"] != made.body["uid"] || again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("the same request again: %d %s", again.status, again.raw)
	}
	r.do("POST", "/users", `{"name":"bob","password":"correct horse 1"}`, "Idempotency-Key", "k1").expect(t, "a key used twice", 422, "request.idempotency_key_reused")
	r.do("POST", "/users", `{"name":"Alice"}`).expect(t, "an upper-case name", 422, "user.name_invalid")
	r.do("POST", "/users", `{"name":"alice"}`).expect(t, "a taken name", 409, "user.name_taken")

	r.do("PUT", path, `{"name":"alice"}`).expect(t, "PUT without If-Match", 428, "request.if_match_required")
	r.do("PATCH", path, `{}`, "Content-Type", "application/merge-patch+json").expect(t, "PATCH without If-Match", 428, "request.if_match_required")
	r.do("DELETE", path, "").expect(t, "DELETE without If-Match", 428, "request.if_match_required")
	r.do("PATCH", path, `{"fullName":"A"}`, "Content-Type", "application/merge-patch+json", "If-Match", `"9"`).expect(t, "stale PATCH", 412, "request.stale")
	patched := r.do("PATCH", path, `{"fullName":"Alice A."}`, "Content-Type", "application/merge-patch+json", "If-Match", `"1"`)
	if patched.status != 200 || patched.body["fullName"] != "Alice A." || patched.body["passwordSet"] != true || patched.header.Get("ETag") != `"2"` {
		t.Errorf("PATCH: %d %s", patched.status, patched.raw)
	}
	r.do("PATCH", path, `{"enabled":"x"}`, "Content-Type", "application/merge-patch+json", "If-Match", `"2"`).expect(t, "PATCH with a wrong type", 422, "request.invalid")
	r.do("PATCH", path, `[]`, "Content-Type", "application/merge-patch+json", "If-Match", `"2"`).expect(t, "PATCH that is no object", 400, "request.invalid")

	unknown := r.do("POST", "/users", `{"name":"x","shoe":1}`)
	unknown.expect(t, "an unknown field", 422, "request.invalid")
	if !strings.Contains(unknown.raw, `"pointer":"/shoe"`) {
		t.Errorf("no pointer: %s", unknown.raw)
	}
	r.do("POST", "/users", `{"name":`).expect(t, "broken JSON", 400, "request.invalid")
	r.do("POST", "/users", `{"name":"x","fullName":"`+strings.Repeat("a", 2<<20)+`"}`).expect(t, "a large body", 413, "request.too_large")
	r.do("POST", "/users", strings.Repeat("a", 20<<20)).expect(t, "a very large body", 413, "request.too_large")
	r.do("GET", "/users?colour=red", "").expect(t, "an unknown parameter", 422, "request.invalid")
	r.do("GET", "/users/none", "").expect(t, "no such user", 404, "user.not_found")
	r.do("GET", "/nothing", "").expect(t, "no such address", 404, "request.not_found")
	r.do("PUT", "/users", "", "If-Match", "*").expect(t, "another method", 405, "request.method_not_allowed")

	// The click can be followed: the audit entry and the log carry its request ID, and neither holds the password.
	audit := r.do("GET", "/audit?filter="+strings.ReplaceAll(`requestID eq "click-0001" and action eq "user.created"`, " ", "%20"), "")
	if audit.body["total"] != 1.0 {
		t.Errorf("audit of the click: %s", audit.raw)
	}
	if whole := r.do("GET", "/audit?limit=1000", ""); strings.Contains(whole.raw, "correct horse") {
		t.Error("the password is in the audit trail")
	}
	if verdict := r.do("GET", "/audit/verify", ""); verdict.body["ok"] != true {
		t.Errorf("verify: %s", verdict.raw)
	}
	if log := r.log.String(); !strings.Contains(log, "click-0001") || strings.Contains(log, "correct horse") || strings.Contains(log, r.token) {
		t.Error("the log lacks the request ID or holds a secret")
	}
}

type frame struct {
	Type, UID, Name string
	Seq, Cursor     int64
}

func (r *running) live(query string) (*websocket.Conn, func() frame) {
	r.t.Helper()
	c, res, err := websocket.Dial(r.t.Context(), r.s.URL()+"/api/v2/live"+query, &websocket.DialOptions{HTTPClient: r.http,
		HTTPHeader: http.Header{"Authorization": {"Bearer " + r.token}}})
	if err != nil {
		r.t.Fatalf("live: %v %v", err, res)
	}
	return c, func() frame {
		r.t.Helper()
		ctx, cancel := context.WithTimeout(r.t.Context(), 10*time.Second)
		defer cancel()
		_, data, err := c.Read(ctx)
		if err != nil {
			r.t.Fatal(err)
		}
		var f frame
		if err := json.Unmarshal(data, &f); err != nil {
			r.t.Fatal(err)
		}
		return f
	}
}

func TestLive(t *testing.T) {
	dir := t.TempDir()
	r := start(t, dir)
	user := func(name string) {
		t.Helper()
		if a := r.do("POST", "/users", `{"name":"`+name+`"}`); a.status != 201 {
			t.Fatalf("create %s: %s", name, a.raw)
		}
	}
	c, next := r.live("")
	hello := next()
	if hello.Type != "hello" {
		t.Fatalf("first frame %+v", hello)
	}
	user("a")
	if f := next(); f.Type != "user.created" || f.Name != "a" || f.Seq <= hello.Cursor {
		t.Errorf("frame %+v", f)
	}
	_ = c.CloseNow()

	// What happens while the client is away, and while the server restarts, is not lost.
	user("b")
	r.stop()
	r = start(t, dir)
	user("c")
	c, next = r.live(fmt.Sprintf("?cursor=%d", hello.Cursor))
	seen, last := []string{}, next().Cursor
	for len(seen) < 3 {
		f := next()
		if f.Seq != last+1 {
			t.Fatalf("frame %d after %d", f.Seq, last)
		}
		if last = f.Seq; f.Type == "user.created" {
			seen = append(seen, f.Name)
		}
	}
	if fmt.Sprint(seen) != "[a b c]" {
		t.Errorf("seen %v", seen)
	}
	_ = c.CloseNow()

	_, next = r.live("?cursor=99999999")
	next() // hello
	if f := next(); f.Type != "reset" || f.Cursor != last {
		t.Errorf("a cursor that the log does not know: %+v", f)
	}
	r.do("GET", "/live?cursor=x", "").expect(t, "a cursor that is no number", 400, "request.invalid")

	// Server-sent events tell the same.
	req, err := http.NewRequestWithContext(t.Context(), "GET", fmt.Sprintf("%s/api/v2/live/events?cursor=%d", r.s.URL(), last-1), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+r.token)
	res, err := r.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	buf, text := make([]byte, 4096), ""
	for !strings.Contains(text, fmt.Sprintf("id: %d\n", last)) {
		n, err := res.Body.Read(buf)
		if err != nil {
			t.Fatalf("%v after %q", err, text)
		}
		text += string(buf[:n])
	}
}

func TestConsoleHeaders(t *testing.T) {
	r := start(t, t.TempDir())
	for _, path := range []string{"/", "/shares/some", "/assets/none.js"} {
		res, err := r.http.Get(r.s.URL() + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		csp := res.Header.Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'self'") || strings.Contains(csp, "unsafe") || res.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", path, res.Header)
		}
	}
}

// TestOlderStore puts the store back to a copy: nodes have to hold removals, so a new epoch begins.
func TestOlderStore(t *testing.T) {
	dir := t.TempDir()
	r := start(t, dir)
	r.stop()
	if err := os.WriteFile(filepath.Join(dir, "highest-revision"), []byte("another:1000000\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r = start(t, dir)
	audit := r.do("GET", "/audit", "")
	if !strings.Contains(audit.raw, "node.store_restored") {
		t.Errorf("no new epoch: %s", audit.raw)
	}
}
