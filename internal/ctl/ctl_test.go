package ctl

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"
	"github.com/pve-smb-gateway/smbgw/client"
)

var update = flag.Bool("update", false, "write golden files anew")

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs; if that is meant, run 'go test ./internal/ctl -update':\n%s", file, diff)
	}
}

// run runs the command line against the server at url.
func run(t *testing.T, url, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	t.Setenv("SMBGW_CONFIG", filepath.Join(t.TempDir(), "contexts.json"))
	t.Setenv("SMBGW_TOKEN", "secret")
	root := Root("test")
	var out, errs bytes.Buffer
	root.SetIn(strings.NewReader(stdin))
	root.SetOut(&out)
	root.SetErr(&errs)
	root.SetArgs(append([]string{"--server", url}, args...))
	code = Execute(t.Context(), root)
	return code, out.String(), errs.String()
}

func TestHelp(t *testing.T) {
	var b strings.Builder
	for _, args := range [][]string{{}, {"share", "create", "--help"}, {"apply", "--help"}} {
		code, out, errs := run(t, "http://127.0.0.1:1", "", args...)
		if code != 0 || errs != "" {
			t.Errorf("%v: exit %d, %s", args, code, errs)
		}
		fmt.Fprintf(&b, "$ smbgw %s\n%s\n", strings.Join(args, " "), out)
	}
	golden(t, "testdata/help.golden", b.String())
}

func TestManual(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cli.md")
	if code, _, errs := run(t, "http://127.0.0.1:1", "", "docs", file); code != 0 {
		t.Fatal(errs)
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "../../docs/cli.md", string(got))
}

func TestManPages(t *testing.T) {
	dir := t.TempDir()
	if code, _, errs := run(t, "http://127.0.0.1:1", "", "man", dir); code != 0 {
		t.Fatal(errs)
	}
	for _, name := range []string{"smbgw.1", "smbgw-share-create.1", "smbgw-apply.1"} {
		raw, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !bytes.Contains(raw, []byte(".TH \"SMBGW\"")) {
			t.Errorf("%s: %v, %.80s", name, err, raw)
		}
	}
}

func TestExitCodes(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want int
	}{
		{nil, 0}, {errors.New("x"), 1}, {errDeclined, 1}, {usage("x"), 2},
		{&client.Problem{Status: 404, Code: "share.not_found"}, 3},
		{&client.Problem{Status: 409, Code: "share.name_taken"}, 4},
		{&client.Problem{Status: 412, Code: client.CodeStale}, 4},
		{&client.Problem{Status: 428, Code: "request.if_match_required"}, 4},
		{&client.Problem{Status: 400, Code: "request.invalid"}, 5},
		{&client.Problem{Status: 422, Code: "share.path_invalid"}, 5},
		{&client.Problem{Status: 413, Code: "request.too_large"}, 5},
		{&client.Problem{Status: 401, Code: "auth.unauthenticated"}, 6},
		{&client.Problem{Status: 403, Code: "auth.forbidden"}, 6},
		{client.ErrFingerprint, 6},
		{&client.Problem{Status: 429, Code: "request.rate_limited"}, 7},
		{&client.Problem{Status: 503, Code: "server.unavailable"}, 7},
		{&client.Unreachable{Server: "s", Err: errors.New("refused")}, 7},
		{context.DeadlineExceeded, 7},
		{&client.Problem{Status: 500, Code: "server.internal"}, 1},
		{&notReadyError{"x"}, 8},
		{&applyError{text: "1 of 2", first: &client.Problem{Status: 409, Code: "share.name_taken"}}, 4},
		{errors.Join(&applyError{text: "1 of 2", first: &client.Problem{Status: 422, Code: "share.path_invalid"}}, &notReadyError{"x"}), 5},
	} {
		if got := exitCode(tt.err); got != tt.want {
			t.Errorf("%v: exit %d, want %d", tt.err, got, tt.want)
		}
		if tt.err != nil {
			if p := problemOf(tt.err); p.Code == "" || p.Status == 0 && p.Detail == "" {
				t.Errorf("%v: as JSON %+v", tt.err, p)
			}
		}
	}
}

// shareServer answers like REST v2 for one share that goes through states. Each GET of the share moves to the next.
type shareServer struct {
	t       *testing.T
	states  []client.Share
	at      int
	created chan struct{}
}

func (s *shareServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	write := func(status int, v any) {
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	switch {
	case r.URL.Path == "/api/v2/live":
		ws, err := websocket.Accept(w, r, nil)
		if err != nil {
			s.t.Error(err)
			return
		}
		_ = ws.Write(r.Context(), websocket.MessageText, []byte(`{"type":"hello","cursor":1}`))
		ctx := ws.CloseRead(r.Context())
		select {
		case <-s.created:
		case <-ctx.Done():
			return
		}
		for i := range s.states {
			time.Sleep(20 * time.Millisecond)
			_ = ws.Write(ctx, websocket.MessageText, fmt.Appendf(nil, `{"seq":%d,"type":"share.status","kind":"share","uid":"u1"}`, i+2))
		}
		<-ctx.Done()
	case r.Method == http.MethodPost:
		close(s.created)
		write(202, s.states[0])
	case r.URL.Path == "/api/v2/shares/u1":
		s.at = min(s.at+1, len(s.states)-1)
		if s.states[s.at].UID == "" {
			write(404, client.Problem{Status: 404, Code: "share.not_found", Detail: "Gone."})
			return
		}
		write(200, s.states[s.at])
	default:
		s.t.Errorf("unexpected %s %s", r.Method, r.URL)
	}
}

func TestWait(t *testing.T) {
	state := func(gen int64, phase string, conds ...client.Condition) client.Share {
		return client.Share{Meta: client.Meta{UID: "u1", Generation: gen, Revision: 1}, Name: "docs", NodeName: "n1",
			Status: client.ShareStatus{Phase: phase, Conditions: conds}}
	}
	cond := func(typ, status, reason string, gen int64) client.Condition {
		return client.Condition{Type: typ, Status: status, Reason: reason, Message: "Do this.", ObservedGeneration: gen}
	}
	fresh := state(2, client.Applying, cond("Ready", "True", "probe.passed", 1))
	for _, tt := range []struct {
		name   string
		states []client.Share
		args   []string
		code   int
		stderr string
	}{
		{"an older generation's Ready does not count", []client.Share{fresh, fresh,
			state(2, client.Applying, cond("Applied", "True", "share.applied", 2)), state(2, client.PhaseReady, cond("Ready", "True", "probe.passed", 2))},
			nil, 0, "The share is Ready after"},
		{"a first failure that heals is no failure", []client.Share{fresh, state(2, client.Failed, cond("Ready", "False", "probe.list", 2)),
			state(2, client.PhaseReady, cond("Ready", "True", "probe.passed", 2))}, nil, 0, "docs +Ready +False +probe.list: Do this"},
		{"a failure that stays has reason and remedy", []client.Share{fresh, state(2, client.Failed, cond("Ready", "False", "probe.list", 2))},
			nil, 8, "docs: Do this. (probe.list)"},
		{"never", []client.Share{fresh}, []string{"--timeout", "300ms"}, 8, "not Ready in time: the node n1 has not reported on it"},
		{"deleted meanwhile", []client.Share{fresh, {}}, nil, 8, "deleted meanwhile"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := httptest.NewServer(&shareServer{t: t, states: tt.states, created: make(chan struct{})})
			defer srv.Close()
			code, _, errs := run(t, srv.URL, "", append([]string{"share", "create", "docs", "--wait"}, tt.args...)...)
			squeezed := strings.Join(strings.Fields(errs), " ")
			if code != tt.code || !strings.Contains(squeezed, strings.ReplaceAll(tt.stderr, " +", " ")) {
				t.Errorf("exit %d, want %d and %q in:\n%s", code, tt.code, tt.stderr, errs)
			}
		})
	}
}

func TestTableFitsTheTerminal(t *testing.T) {
	var b bytes.Buffer
	p := &printer{out: &b, columns: 60}
	p.table([]string{"NAME", "STATE", "PATH"}, [][]cell{
		{text("docs"), stateCell("Ready"), text("/srv/smb/" + strings.Repeat("x", 100))},
		{text("日本語の共有"), stateCell("Failed"), text("/srv/ü\x1b[31m\u202e")},
	})
	for line := range strings.Lines(b.String()) {
		if w := textWidth(strings.TrimRight(line, "\n")); w > 60 {
			t.Errorf("%d columns wide: %q", w, line)
		}
		if strings.ContainsAny(line, "\x1b\u202e") {
			t.Errorf("the terminal would obey %q", line)
		}
	}
	if strings.Count(b.String(), "…") != 1 {
		t.Errorf("want one cell cut:\n%s", b.String())
	}
	p.color = true
	b.Reset()
	p.table([]string{"STATE"}, [][]cell{{stateCell("Failed")}})
	if !strings.Contains(b.String(), "\x1b[31mFailed\x1b[0m") {
		t.Errorf("a state needs its colour and its word: %q", b.String())
	}
}

func TestParseExpiry(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for in, want := range map[string]string{"90d": "2026-07-30T12:00:00Z", "12h": "2026-05-02T00:00:00Z", "2026-05-01": "2026-05-01T23:59:59Z",
		"2030-01-31": "2030-01-31T23:59:59Z", "2026-06-01T00:00:00+02:00": "2026-05-31T22:00:00Z",
		"": "", "yesterday": "", "2020-01-01": "", "-5h": "", "0d": "", "1w": ""} {
		got, err := parseExpiry(in, now)
		if (err == nil) != (want != "") || err == nil && got.Format(time.RFC3339) != want {
			t.Errorf("%q: %v, %v; want %s", in, got, err, want)
		}
	}
}

func TestContextOrder(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, name := range []string{"SMBGW_TOKEN", "SMBGW_FINGERPRINT", "SMBGW_SERVER", "SMBGW_CONTEXT", "SMBGW_DIR"} {
		t.Setenv(name, "")
	}
	t.Setenv("SMBGW_CONFIG", filepath.Join(dir, "c", "contexts.json"))
	write := func(at, server string) {
		t.Helper()
		at = filepath.Join(dir, at, "server")
		if err := os.MkdirAll(at, 0o700); err != nil {
			t.Fatal(err)
		}
		raw, _ := json.Marshal(saved{Server: server, Token: "local"})
		if err := os.WriteFile(filepath.Join(at, "cli.json"), raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	check := func(a *app, server, token string) {
		t.Helper()
		s, err := a.target()
		if err != nil || s.Server != server || s.Token != token {
			t.Errorf("%+v, %v; want %s with token %q", s, err, server, token)
		}
	}
	write("var", "https://up")
	check(&app{}, "https://up", "local")
	cs := contexts{Current: "a", Contexts: map[string]saved{"a": {Server: "https://a:1", Token: "ta"}, "b": {Server: "https://b:1", Token: "tb"}}}
	if err := cs.save(); err != nil {
		t.Fatal(err)
	}
	check(&app{}, "https://a:1", "ta")
	t.Setenv("SMBGW_CONTEXT", "b")
	check(&app{}, "https://b:1", "tb")
	t.Setenv("SMBGW_SERVER", "a:1")
	check(&app{}, "https://a:1", "ta") // known by its address
	write("other", "https://other")
	check(&app{dir: filepath.Join(dir, "other")}, "https://other", "local")
	check(&app{context: "b", dir: "x"}, "https://b:1", "tb")
	check(&app{server: "https://new", context: "b"}, "https://new", "") // a token never goes to another server
	t.Setenv("SMBGW_TOKEN", "env")
	check(&app{context: "b"}, "https://b:1", "env")
}

func TestCompletion(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		names := map[string]string{"/api/v2/shares": "projects", "/api/v2/users": "alice", "/api/v2/groups": "staff"}
		_, _ = fmt.Fprintf(w, `{"items":[{"name":%q}],"total":1}`, names[r.URL.Path])
	}))
	defer srv.Close()
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"share", "get", "p"}, "projects"},
		{[]string{"share", "get", "projects", ""}, "!projects"},
		{[]string{"share", "create", "x", "--valid-users", "bob,a"}, "bob,alice"},
		{[]string{"share", "create", "x", "--valid-users", "@s"}, "@staff"},
		{[]string{"group", "add-member", ""}, "staff"},
		{[]string{"group", "add-member", "staff", ""}, "alice"},
		{[]string{"sha"}, "share"},
	} {
		code, out, errs := run(t, srv.URL, "", append([]string{"__complete"}, tt.args...)...)
		unwanted, not := strings.CutPrefix(tt.want, "!")
		if code != 0 || strings.Contains(out, unwanted) == not {
			t.Errorf("%v: exit %d, %q %q; want %s", tt.args, code, out, errs, tt.want)
		}
	}
}
