package node_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pve-smb-gateway/smbgw/internal/clock"
	"github.com/pve-smb-gateway/smbgw/internal/db/dbtest"
	"github.com/pve-smb-gateway/smbgw/internal/event"
	"github.com/pve-smb-gateway/smbgw/internal/httpapi"
	"github.com/pve-smb-gateway/smbgw/internal/node"
)

// REST /nodes as a client sees it, on the real middleware.
func TestREST(t *testing.T) {
	d := dbtest.SQLite(t, event.Migrations, httpapi.Migrations, node.Migrations)
	log := event.NewLog(d, clock.System)
	rec := &recorder{log: log}
	s := node.NewService(d, clock.System, log, rec, node.Options{ServerURL: "https://gw:8443", Fingerprint: "SHA256:x"})
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := room{Service: s, d: d, rec: rec, log: log}
	api := httpapi.New(httpapi.Options{
		DB: d, Clock: clock.System, Log: slog.New(slog.DiscardHandler),
		Authorize: func(context.Context, string) error { return nil },
		Authenticate: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				next.ServeHTTP(w, r.WithContext(event.WithActor(r.Context(), event.Actor{Kind: "account", Name: "admin"})))
			})
		},
	})
	node.Mount(api, s)
	h := api.Handler()
	call := func(method, path, body string, header ...string) (*httptest.ResponseRecorder, map[string]any) {
		t.Helper()
		req := httptest.NewRequestWithContext(t.Context(), method, "/api/v2"+path, strings.NewReader(body))
		if body != "" {
			req.Header.Set("Content-Type", "application/json")
		}
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		var got map[string]any
		if w.Body.Len() > 0 {
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatalf("%s %s: %v: %s", method, path, err, w.Body)
			}
		}
		return w, got
	}

	// The same request twice: no twin, and the kept answers hold no token.
	w, first := call("POST", "/nodes/enrolments", `{"name":"alpha"}`, "Idempotency-Key", "key-1")
	if w.Code != http.StatusCreated || first["token"] == nil || w.Header().Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	w, second := call("POST", "/nodes/enrolments", `{"name":"alpha"}`, "Idempotency-Key", "key-1")
	if w.Code != http.StatusCreated || second["uid"] != first["uid"] || second["token"] == first["token"] {
		t.Errorf("again: %d %s", w.Code, w.Body)
	}
	w, list := call("GET", "/nodes/enrolments", "")
	if w.Code != http.StatusOK || len(list["items"].([]any)) != 1 || bytes.Contains(w.Body.Bytes(), []byte("smbgw-enrol-")) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for _, bad := range []string{`{"name":""}`, `{"name":"A"}`, `{"name":"a","ttlSeconds":1}`, `{"name":"a","ttlSeconds":999999}`, `{"name":"a","x":1}`, `{}`, `[]`, `{"name":5}`} {
		w, got := call("POST", "/nodes/enrolments", bad)
		if w.Code != http.StatusUnprocessableEntity && w.Code != http.StatusBadRequest || got["code"] == nil {
			t.Errorf("%s: %d %s", bad, w.Code, w.Body)
		}
	}

	uid := r.enrol(t, "beta")
	w, got := call("GET", "/nodes/"+uid, "")
	etag := w.Header().Get("ETag")
	if w.Code != http.StatusOK || etag != `"1"` || got["name"] != "beta" || got["shareRoots"] == nil || got["status"].(map[string]any)["phase"] != "Pending" {
		t.Errorf("%d %s %s", w.Code, etag, w.Body)
	}
	for _, key := range []string{"keyHash", "linkEpoch", "key-beta"} {
		if strings.Contains(w.Body.String(), key) {
			t.Errorf("the answer shows %s: %s", key, w.Body)
		}
	}
	if w, _ := call("GET", "/nodes/nobody", ""); w.Code != http.StatusNotFound {
		t.Errorf("unknown: %d", w.Code)
	}
	if w, _ := call("PATCH", "/nodes/"+uid, `{"advertisedAddress":"x.example"}`); w.Code != http.StatusPreconditionRequired {
		t.Errorf("no If-Match: %d", w.Code)
	}
	w, got = call("PATCH", "/nodes/"+uid, `{"advertisedAddress":"x.example"}`, "If-Match", etag, "Content-Type", "application/merge-patch+json")
	if w.Code != http.StatusOK || got["address"] != "x.example" || got["name"] != "beta" || w.Header().Get("ETag") != `"2"` {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w, _ := call("PUT", "/nodes/"+uid, `{"name":"gamma"}`, "If-Match", etag); w.Code != http.StatusPreconditionFailed {
		t.Errorf("stale: %d", w.Code)
	}
	if w, got := call("PUT", "/nodes/"+uid, `{"name":"gamma"}`, "If-Match", `"2"`); w.Code != http.StatusOK || got["name"] != "gamma" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w, _ := call("POST", "/nodes/"+uid+"/confirm-removals", "", "If-Match", `"1"`); w.Code != http.StatusPreconditionFailed {
		t.Errorf("confirm, stale: %d", w.Code)
	}
	if w, _ := call("POST", "/nodes/"+uid+"/confirm-removals", ""); w.Code != http.StatusAccepted {
		t.Errorf("confirm: %d %s", w.Code, w.Body)
	}
	if w, got := call("GET", `/nodes?q=host-beta&sort=-name`, ""); w.Code != http.StatusOK || got["total"] != 1.0 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w, _ := call("DELETE", "/nodes/enrolments/"+first["uid"].(string), "", "If-Match", "*"); w.Code != http.StatusNoContent {
		t.Errorf("revoke: %d %s", w.Code, w.Body)
	}
	if w, _ := call("DELETE", "/nodes/"+uid, "", "If-Match", "*"); w.Code != http.StatusNoContent {
		t.Errorf("delete: %d %s", w.Code, w.Body)
	}
	if w, _ := call("GET", "/nodes/"+uid, ""); w.Code != http.StatusNotFound {
		t.Errorf("after the deletion: %d", w.Code)
	}
}
