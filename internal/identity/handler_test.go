package identity_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pve-smb-gateway/smbgw/internal/clock"
	"github.com/pve-smb-gateway/smbgw/internal/db"
	"github.com/pve-smb-gateway/smbgw/internal/db/dbtest"
	"github.com/pve-smb-gateway/smbgw/internal/httpapi"
	"github.com/pve-smb-gateway/smbgw/internal/identity"
	"github.com/pve-smb-gateway/smbgw/internal/logx"
	"github.com/pve-smb-gateway/smbgw/internal/problem"
)

// answer is a response, read.
type answer struct {
	status int
	header http.Header
	body   map[string]any
	text   string
}

// client speaks REST to the room as an actor who holds the given privileges.
func client(t *testing.T, r *room, privileges ...string) func(method, path, ifMatch, body string) answer {
	t.Helper()
	var log strings.Builder
	api := httpapi.New(httpapi.Options{
		DB: r.db, Clock: clock.System, Log: logx.New(&log, slog.LevelDebug),
		Authenticate: func(h http.Handler) http.Handler { return h },
		Authorize: func(_ context.Context, privilege string) error {
			for _, p := range privileges {
				if p == privilege {
					return nil
				}
			}
			return problem.New(http.StatusForbidden, problem.CodeForbidden, "no")
		},
	})
	identity.Mount(api, r.Service)
	server := httptest.NewServer(api.Handler())
	t.Cleanup(func() {
		server.Close()
		if strings.Contains(log.String(), "sesame") {
			t.Errorf("a password is in the log: %s", log.String())
		}
	})
	return func(method, path, ifMatch, body string) answer {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, server.URL+httpapi.Prefix+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case method == http.MethodPatch:
			req.Header.Set("Content-Type", "application/merge-patch+json")
		case strings.HasSuffix(path, "/import"):
			req.Header.Set("Content-Type", "text/csv")
		default:
			req.Header.Set("Content-Type", "application/json")
		}
		if ifMatch != "" {
			req.Header.Set("If-Match", ifMatch)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(res.Body)
		if err := errors.Join(err, res.Body.Close()); err != nil {
			t.Fatal(err)
		}
		a := answer{status: res.StatusCode, header: res.Header, text: string(raw)}
		if len(raw) > 0 {
			if err := json.Unmarshal(raw, &a.body); err != nil {
				t.Fatalf("%s %s: %v: %s", method, path, err, raw)
			}
		}
		if strings.Contains(a.text, "sesame") {
			t.Errorf("%s %s echoes the password: %s", method, path, a.text)
		}
		return a
	}
}

func TestREST(t *testing.T) {
	r := newRoom(t, dbtest.SQLite(t, append([]db.Migrations{httpapi.Migrations}, migrations...)...))
	do := client(t, r, "Identity.Audit", "Identity.Modify")
	expect := func(a answer, status int, code string) answer {
		t.Helper()
		if got, _ := a.body["code"].(string); a.status != status || got != code {
			t.Errorf("%d %s, want %d %q", a.status, a.text, status, code)
		}
		return a
	}
	expect(do("POST", "/groups", "", `{"name":"staff"}`), 201, "")
	made := expect(do("POST", "/users", "", `{"name":"anna","fullName":"Anna","password":"open sesame","groups":["staff"]}`), 201, "")
	if made.body["enabled"] != true || made.body["passwordSet"] != true || made.header.Get("ETag") != `"1"` {
		t.Errorf("%s", made.text)
	}
	url := "/users/" + made.body["uid"].(string)
	expect(do("POST", "/users", "", `{"name":"bert","enabled":false}`), 201, "")
	if list := expect(do("GET", "/users?filter=enabled+eq+false", "", ""), 200, ""); list.body["total"] != 1.0 {
		t.Errorf("enabled: false was not kept: %s", list.text)
	}

	expect(do("PATCH", url, "", `{}`), 428, "request.if_match_required")
	expect(do("PATCH", url, `"1"`, `{"password":"short"}`), 422, "user.password_weak")
	expect(do("PATCH", url, `"1"`, `{"nope":1}`), 422, "request.invalid")
	patched := expect(do("PATCH", url, `"1"`, `{"password":"another sesame","enabled":false}`), 200, "")
	if patched.body["enabled"] != false || patched.body["fullName"] != "Anna" || patched.header.Get("ETag") != `"2"` {
		t.Errorf("%s", patched.text)
	}
	expect(do("PUT", url, `"1"`, `{"name":"anna"}`), 412, "request.stale")
	put := expect(do("PUT", url, `"2"`, `{"name":"anna"}`), 200, "")
	if put.body["enabled"] != true || put.body["fullName"] != "" || put.body["passwordSet"] != true || len(put.body["groups"].([]any)) != 0 {
		t.Errorf("%s", put.text)
	}
	expect(do("POST", "/users", "", `{"name":"carl","uid":"x"}`), 422, "request.invalid")
	expect(do("POST", "/users", "", `{"name":"carl","password":5}`), 422, "request.invalid")
	expect(do("POST", "/users", "", `{"fullName":"No Name"}`), 422, "request.invalid")
	expect(do("POST", "/users", "", `{"name":"Carl"}`), 422, "user.name_invalid")
	expect(do("GET", "/users/nobody", "", ""), 404, "user.not_found")

	r.shares["anna"] = []string{"projects"}
	expect(do("DELETE", url, "*", ""), 409, "user.in_use")
	if gone := expect(do("DELETE", url+"?force=true", "*", ""), 204, ""); gone.text != "" {
		t.Errorf("%s", gone.text)
	}

	started := expect(do("POST", "/users/import", "", "carl;open sesame;Carl;staff\nroot;open sesame\n"), 202, "")
	if started.body["rows"] != 2.0 || started.body["invalid"] != 1.0 || started.header.Get("Location") != "/api/v2/tasks/"+started.body["taskUID"].(string) {
		t.Errorf("%s %v", started.text, started.header)
	}
	expect(do("POST", "/users/import", "", strings.Repeat("x", 9<<20)), 413, "request.too_large")
}

func TestPrivileges(t *testing.T) {
	r := newRoom(t, dbtest.SQLite(t, append([]db.Migrations{httpapi.Migrations}, migrations...)...))
	do := client(t, r, "Identity.Audit")
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/users", 200}, {"GET", "/groups", 200}, {"POST", "/users", 403}, {"POST", "/groups", 403}, {"POST", "/users/import", 403},
		{"PUT", "/users/x", 403}, {"PATCH", "/groups/x", 403}, {"DELETE", "/users/x", 403}, {"DELETE", "/groups/x", 403},
	} {
		if got := do(c.method, c.path, "*", `{}`); got.status != c.status {
			t.Errorf("%s %s: %d %s", c.method, c.path, got.status, got.text)
		}
	}
}
