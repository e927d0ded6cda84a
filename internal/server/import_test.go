package server_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/db/dbtest"
	"github.com/pve-smb-gateway/smbgw/internal/logx"
	"github.com/pve-smb-gateway/smbgw/internal/pki"
	"github.com/pve-smb-gateway/smbgw/internal/server"
)

// TestImport imports 1,000 users into a whole server, through TLS, token, REST, task and audit trail.
func TestImport(t *testing.T) {
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			dir := t.TempDir()
			cfg := server.Config{Dir: dir, Listen: "127.0.0.1:0", Version: "test", Log: logx.New(io.Discard, slog.LevelError)}
			if engine == "postgres" {
				cfg.Database = dbtest.StartPostgres(t)
			}
			s, err := server.New(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.LocalToken(t.Context(), filepath.Join(dir, "token")); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			ended := make(chan error, 1)
			go func() { ended <- s.Run(ctx) }()
			defer func() {
				cancel()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			}()
			token, err := os.ReadFile(filepath.Join(dir, "token"))
			if err != nil {
				t.Fatal(err)
			}
			client := &http.Client{Transport: &http.Transport{TLSClientConfig: pinned(s.Fingerprint())}}
			defer client.CloseIdleConnections()
			do := func(method, path, contentType, body string, status int) (answer map[string]any) {
				t.Helper()
				req, err := http.NewRequestWithContext(t.Context(), method, "https://"+s.Addr()+"/api/v2"+path, strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
				req.Header.Set("Content-Type", contentType)
				req.Header.Set("Idempotency-Key", method+path)
				res, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = res.Body.Close() }()
				if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || res.StatusCode != status {
					t.Fatalf("%s %s: %d %v, %v", method, path, res.StatusCode, answer, err)
				}
				return answer
			}
			do("POST", "/groups", "application/json", `{"name":"staff"}`, 201)
			var csv strings.Builder
			for i := range 1000 {
				fmt.Fprintf(&csv, "u%04d;open sesame %d;User %d;staff\n", i, i, i)
			}
			csv.WriteString("root;open sesame;;\n")
			begin := time.Now()
			started := do("POST", "/users/import", "text/csv", csv.String(), 202)
			again := do("POST", "/users/import", "text/csv", csv.String(), 202) // same Idempotency-Key
			if again["taskUID"] != started["taskUID"] {
				t.Errorf("the same request started two tasks: %v and %v", started, again)
			}
			var run map[string]any
			for run["state"] != "done" {
				if run = do("GET", "/tasks/"+started["taskUID"].(string), "", "", 200); time.Since(begin) > time.Minute || run["state"] == "failed" {
					t.Fatalf("%v %v: %v", run["state"], run["done"], run["message"])
				}
				time.Sleep(10 * time.Millisecond)
			}
			t.Logf("1,000 users in %v", time.Since(begin))
			if run["done"] != 1001.0 || run["failed"] != 1.0 || len(run["items"].([]any)) != 1001 {
				t.Errorf("%v done, %v failed", run["done"], run["failed"])
			}
			if page := do("GET", "/users?limit=1&q=user+999", "", "", 200); page["total"] != 1.0 {
				t.Errorf("found %v", page)
			}
			if page := do("GET", "/tasks?filter=state+eq+%22done%22", "", "", 200); page["total"] != 1.0 {
				t.Errorf("tasks %v", page)
			}
			trail := do("GET", "/audit?limit=1", "", "", 200)
			if n := trail["total"].(float64); n < 1003 { // each user, the group, the task's beginning and end
				t.Errorf("%v entries in the audit trail", n)
			}
		})
	}
}

func pinned(fingerprint string) *tls.Config { return pki.PinnedClient(fingerprint, nil) }
