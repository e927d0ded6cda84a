package audit_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"encoding/json"

	"github.com/google/go-cmp/cmp"
	"github.com/pve-smb-gateway/smbgw/internal/audit"
	"github.com/pve-smb-gateway/smbgw/internal/clock"
	"github.com/pve-smb-gateway/smbgw/internal/db"
	"github.com/pve-smb-gateway/smbgw/internal/db/dbtest"
	"github.com/pve-smb-gateway/smbgw/internal/event"
	"github.com/pve-smb-gateway/smbgw/internal/httpapi"
	"github.com/pve-smb-gateway/smbgw/internal/logx"
	"github.com/pve-smb-gateway/smbgw/internal/problem"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 600_000_000, time.UTC)

type share struct {
	Name string `json:"name"`
	Path string `json:"path"`
}

func add(t *testing.T, d *db.DB, l *audit.Log, c event.Change) {
	t.Helper()
	ctx := event.WithActor(logx.WithRequestID(t.Context(), "req-"+c.Name), event.Actor{Kind: "account", UID: "u1", Name: "Alice", RemoteAddr: "192.0.2.7"})
	if err := d.Tx(ctx, func(ctx context.Context) error { return l.Append(ctx, c) }); err != nil {
		t.Fatal(err)
	}
}

func fill(t *testing.T, d *db.DB, l *audit.Log, n int) {
	t.Helper()
	for i := range n {
		name := fmt.Sprintf("s%d", i)
		add(t, d, l, event.Change{Action: "share.created", Kind: "share", UID: "uid-" + name, Name: name, After: share{name, "/srv/ü"}})
	}
}

func verify(t *testing.T, l *audit.Log) audit.Verdict {
	t.Helper()
	v, err := l.Verify(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestAppend(t *testing.T) {
	dbtest.Each(t, []db.Migrations{audit.Migrations}, func(t *testing.T, d *db.DB) {
		l := audit.NewLog(d, clock.NewFake(start))
		if err := l.Append(t.Context(), event.Change{}); err == nil {
			t.Error("append outside a transaction was accepted")
		}
		add(t, d, l, event.Change{Action: "share.changed", Kind: "share", UID: "x", Name: "docs", Before: share{"docs", "/a"}, After: share{"docs", "/b"}})
		rollback := errors.New("roll back")
		err := d.Tx(t.Context(), func(ctx context.Context) error {
			if err := l.Append(ctx, event.Change{Action: "share.deleted"}); err != nil {
				return err
			}
			return rollback
		})
		if !errors.Is(err, rollback) {
			t.Fatal(err)
		}
		// What PostgreSQL would refuse must not stop the change.
		add(t, d, l, event.Change{Action: "share.created", Kind: "share", Name: "a\x00b\xff", After: map[string]string{"n": "a\x00\xff"}})
		page, err := l.List(t.Context(), db.ListQuery{Sort: "seq"})
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Items) != 2 {
			t.Fatalf("%d entries, want 2: a change that was rolled back leaves none", len(page.Items))
		}
		got := page.Items[0]
		if len(got.Hash) != 64 {
			t.Errorf("hash %q", got.Hash)
		}
		got.Hash = ""
		want := audit.Entry{
			Seq: 1, At: start, Actor: audit.Actor{Kind: "account", UID: "u1", Name: "Alice"}, RemoteAddr: "192.0.2.7", RequestID: "req-docs",
			Action: "share.changed", Kind: "share", UID: "x", Name: "docs",
			Before: json.RawMessage(`{"name":"docs","path":"/a"}`), After: json.RawMessage(`{"name":"docs","path":"/b"}`),
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if v := verify(t, l); !v.OK || v.Entries != 2 {
			t.Errorf("%+v", v)
		}
	})
}

func TestConcurrentWriters(t *testing.T) {
	dbtest.Each(t, []db.Migrations{audit.Migrations}, func(t *testing.T, d *db.DB) {
		l := audit.NewLog(d, clock.System)
		rollback := errors.New("roll back")
		var wg sync.WaitGroup
		for w := range 8 {
			wg.Go(func() {
				for i := range 12 {
					err := d.Tx(t.Context(), func(ctx context.Context) error {
						if err := l.Append(ctx, event.Change{Action: "x", After: i}); err != nil {
							return err
						}
						if (w+i)%4 == 0 {
							return rollback
						}
						return nil
					})
					if err != nil && !errors.Is(err, rollback) {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if v := verify(t, l); !v.OK || v.Entries != 72 {
			t.Errorf("%+v", v)
		}
	})
}

// Each kind of tampering is found at the first row it touches.
func TestVerifyFindsTampering(t *testing.T) {
	const n = 7
	cases := []struct {
		name, sql string
		at        int64
		reason    string
	}{
		{"actor", "UPDATE audit_log SET actor_name = 'Mallory' WHERE seq = 3", 3, "changed"},
		{"after", `UPDATE audit_log SET after_json = '{"name":"s3","path":"/etc"}' WHERE seq = 4`, 4, "changed"},
		{"white space in JSON", `UPDATE audit_log SET after_json = after_json || ' ' WHERE seq = 5`, 5, "changed"},
		{"time", "UPDATE audit_log SET at = '2026-01-02 03:04:05.6+00:00' WHERE seq = 2", 2, "changed"},
		{"a field moved into its neighbour", "UPDATE audit_log SET kind = 'shareu', uid = 'id-s1' WHERE seq = 2", 2, "changed"},
		{"search words", "UPDATE audit_log SET search = '' WHERE seq = 2", 2, "changed"},
		{"first removed", "DELETE FROM audit_log WHERE seq = 1", 1, "missing"},
		{"middle removed", "DELETE FROM audit_log WHERE seq = 4", 4, "missing"},
		{"middle removed, numbers closed up", "DELETE FROM audit_log WHERE seq = 4; UPDATE audit_log SET seq = seq - 1 WHERE seq = 5; UPDATE audit_log SET seq = seq - 1 WHERE seq = 6; UPDATE audit_log SET seq = seq - 1 WHERE seq = 7", 4, "changed"},
		{"tail cut", "DELETE FROM audit_log WHERE seq > 5", 6, "missing"},
		{"all cut", "DELETE FROM audit_log", 1, "missing"},
		{"tail cut, head's number set back", "DELETE FROM audit_log WHERE seq > 5; UPDATE audit_head SET seq = 5", 5, "changed"},
		{"swapped", "UPDATE audit_log SET seq = 100 WHERE seq = 3; UPDATE audit_log SET seq = 3 WHERE seq = 5; UPDATE audit_log SET seq = 5 WHERE seq = 100", 3, "changed"},
		{"inserted behind the end", "INSERT INTO audit_log SELECT 8, at, actor_kind, actor_uid, actor_name, remote_addr, request_id, action, kind, uid, name, before_json, after_json, hash, hash, search FROM audit_log WHERE seq = 7", 8, "unexpected"},
		{"inserted in front", "INSERT INTO audit_log SELECT 0, at, actor_kind, actor_uid, actor_name, remote_addr, request_id, action, kind, uid, name, before_json, after_json, prev_hash, hash, search FROM audit_log WHERE seq = 7", 0, "unexpected"},
		{"head lost", "DELETE FROM audit_head", 1, "unexpected"},
	}
	dbtest.Each(t, []db.Migrations{audit.Migrations}, func(t *testing.T, d *db.DB) {
		c := clock.NewFake(start)
		l := audit.NewLog(d, c)
		for range n {
			c.Advance(time.Second)
			fill(t, d, l, 1)
		}
		undo := errors.New("undo")
		for _, tc := range cases {
			t.Run(tc.name, func(t *testing.T) {
				err := d.Tx(t.Context(), func(ctx context.Context) error {
					for stmt := range strings.SplitSeq(tc.sql, ";") {
						if _, err := d.Conn(ctx).NewRaw(stmt).Exec(ctx); err != nil {
							return err
						}
					}
					v, err := l.Verify(ctx)
					if err != nil {
						return err
					}
					if v.OK || v.BrokenAt == nil || *v.BrokenAt != tc.at || v.Reason != tc.reason {
						raw, _ := json.Marshal(v)
						t.Errorf("%s, want brokenAt %d, %s", raw, tc.at, tc.reason)
					}
					return undo
				})
				if !errors.Is(err, undo) {
					t.Fatal(err)
				}
			})
		}
		if v := verify(t, l); !v.OK || v.Entries != n || v.Head == "" {
			t.Errorf("untouched: %+v", v)
		}
	})
}

func TestVerifyManyBatches(t *testing.T) {
	d := dbtest.SQLite(t, audit.Migrations)
	l := audit.NewLog(d, clock.System)
	err := d.Tx(t.Context(), func(ctx context.Context) error {
		for range 1000 { // a whole number of batches
			if err := l.Append(ctx, event.Change{Action: "x"}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if v := verify(t, l); !v.OK || v.Entries != 1000 {
		t.Errorf("%+v", v)
	}
	fill(t, d, l, 1)
	if v := verify(t, l); !v.OK || v.Entries != 1001 {
		t.Errorf("%+v", v)
	}
}

func TestList(t *testing.T) {
	dbtest.Each(t, []db.Migrations{audit.Migrations}, func(t *testing.T, d *db.DB) {
		c := clock.NewFake(start)
		l := audit.NewLog(d, c)
		for i := range 10 { // s0 at :05.6, s1 at :06.6, …
			name := fmt.Sprintf("s%d", i)
			add(t, d, l, event.Change{Action: []string{"share.created", "share.deleted"}[i%2], Kind: "share", UID: "uid-" + name, Name: name})
			c.Advance(time.Second)
		}
		for _, tc := range []struct {
			q    db.ListQuery
			want string
		}{
			{db.ListQuery{}, "s9 s8 s7 s6 s5 s4 s3 s2 s1 s0"},
			{db.ListQuery{Filter: `action eq "share.deleted" and actor eq "Alice"`}, "s9 s7 s5 s3 s1"},
			{db.ListQuery{Filter: `uid eq "uid-s3"`}, "s3"},
			{db.ListQuery{Filter: `kind eq "user"`}, ""},
			{db.ListQuery{Filter: `requestID eq "req-s4"`}, "s4"},
			{db.ListQuery{Filter: `at ge "2026-01-02T03:04:12Z"`}, "s9 s8 s7"},
			{db.ListQuery{Filter: `at lt "2026-01-02T04:04:06.6+01:00"`}, "s0"},
			{db.ListQuery{Filter: `at eq "2026-01-02T03:04:05.6Z"`}, "s0"},
			{db.ListQuery{Filter: `seq le 2`}, "s1 s0"},
			{db.ListQuery{Filter: `seq contains "1"`}, "s9 s0"},
			{db.ListQuery{Search: "alice DELETED 192.0.2"}, "s9 s7 s5 s3 s1"},
			{db.ListQuery{Search: "share.create_"}, ""},
			{db.ListQuery{Sort: "-at"}, "s9 s8 s7 s6 s5 s4 s3 s2 s1 s0"},
			{db.ListQuery{Sort: "action,-name"}, "s8 s6 s4 s2 s0 s9 s7 s5 s3 s1"},
			{db.ListQuery{Sort: "at"}, "s0 s1 s2 s3 s4 s5 s6 s7 s8 s9"},
		} {
			var names []string
			tc.q.Limit = 3
			for {
				page, err := l.List(t.Context(), tc.q)
				if err != nil {
					t.Fatalf("%+v: %v", tc.q, err)
				}
				if want := len(strings.Fields(tc.want)); page.Total != want {
					t.Errorf("%+v: total %d, want %d", tc.q, page.Total, want)
				}
				for _, e := range page.Items {
					names = append(names, e.Name)
				}
				if tc.q.Cursor = page.NextCursor; tc.q.Cursor == "" {
					break
				}
			}
			if got := strings.Join(names, " "); got != tc.want {
				t.Errorf("%+v: %s, want %s", tc.q, got, tc.want)
			}
		}
		for _, q := range []db.ListQuery{
			{Filter: `at ge "yesterday"`}, {Filter: `at ge 5`}, {Filter: `at contains "2026"`}, {Filter: `hash eq "x"`}, {Filter: `before_json eq "x"`},
			{Sort: "uid"}, {Sort: "at,-uid"}, {Sort: "after"}, {Cursor: "x"}, {Sort: "at", Cursor: "eyJzIjoiYXQiLCJ2IjpbeyJ0IjoieHgifSx7InYiOjF9XX0"},
		} {
			if _, err := l.List(t.Context(), q); !problem.Is(err, problem.CodeInvalid) {
				t.Errorf("%+v: %v, want a problem", q, err)
			}
		}
	})
}

func TestREST(t *testing.T) {
	d := dbtest.SQLite(t, audit.Migrations)
	l := audit.NewLog(d, clock.System)
	fill(t, d, l, 3)
	var asked []string
	api := httpapi.New(httpapi.Options{
		DB: d, Clock: clock.System, Log: logx.New(t.Output(), 0),
		Authenticate: func(h http.Handler) http.Handler { return h },
		Authorize: func(_ context.Context, privilege string) error {
			asked = append(asked, privilege)
			return nil
		},
	})
	audit.Mount(api, l)
	get := func(path string, into any) {
		t.Helper()
		w := httptest.NewRecorder()
		api.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/v2"+path, nil))
		if w.Code != http.StatusOK {
			t.Fatalf("%s: %d %s", path, w.Code, w.Body)
		}
		if err := json.Unmarshal(w.Body.Bytes(), into); err != nil {
			t.Fatal(err)
		}
	}
	var page struct {
		Items []map[string]any
		Total int
	}
	get("/audit?limit=2&filter="+url.QueryEscape(`action eq "share.created"`), &page)
	if page.Total != 3 || len(page.Items) != 2 || page.Items[0]["seq"] != 3.0 {
		t.Errorf("%+v", page)
	}
	after, ok := page.Items[0]["after"].(map[string]any)
	if !ok || after["path"] != "/srv/ü" {
		t.Errorf("after is %v, want an object", page.Items[0]["after"])
	}
	if _, ok := page.Items[0]["before"]; ok {
		t.Error("before is there although the share was created")
	}
	var v map[string]any
	get("/audit/verify", &v)
	if v["ok"] != true || v["entries"] != 3.0 {
		t.Errorf("%v", v)
	}
	if diff := cmp.Diff([]string{"Audit.Audit", "Audit.Audit"}, asked); diff != "" {
		t.Error(diff)
	}
}
