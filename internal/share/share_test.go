package share_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/clock"
	"github.com/pve-smb-gateway/smbgw/internal/db"
	"github.com/pve-smb-gateway/smbgw/internal/db/dbtest"
	"github.com/pve-smb-gateway/smbgw/internal/desired"
	"github.com/pve-smb-gateway/smbgw/internal/event"
	"github.com/pve-smb-gateway/smbgw/internal/object"
	"github.com/pve-smb-gateway/smbgw/internal/problem"
	"github.com/pve-smb-gateway/smbgw/internal/share"
)

// neighbours stands for the rooms node and identity: one node "n1", users alice and bob, group staff.
type neighbours struct{ changes []event.Change }

func (n *neighbours) Resolve(_ context.Context, ref string) (string, string, []string, error) {
	if ref != "" && ref != "uid-1" && ref != "n1" {
		return "", "", nil, problem.NotFound("node", ref)
	}
	return "uid-1", "n1", []string{"/srv/smb"}, nil
}

func (n *neighbours) Names(context.Context) (map[string]string, error) {
	return map[string]string{"uid-1": "n1"}, nil
}

func (n *neighbours) Missing(_ context.Context, names []string) (missing []string, err error) {
	for _, name := range names {
		if name != "alice" && name != "bob" && name != "@staff" {
			missing = append(missing, name)
		}
	}
	return missing, nil
}

func (n *neighbours) Record(_ context.Context, c event.Change) error {
	n.changes = append(n.changes, c)
	return nil
}

type recorder struct {
	*neighbours
	log *event.Log
}

func (r recorder) Record(ctx context.Context, c event.Change) error {
	if err := r.neighbours.Record(ctx, c); err != nil {
		return err
	}
	return r.log.Append(ctx, event.Event{Type: c.Action, UID: c.UID, Scopes: c.Scopes})
}

func each(t *testing.T, fn func(t *testing.T, s *share.Service, n *neighbours, d *db.DB)) {
	dbtest.Each(t, []db.Migrations{event.Migrations, share.Migrations}, func(t *testing.T, d *db.DB) {
		n := &neighbours{}
		log := event.NewLog(d, clock.System)
		fn(t, share.NewService(d, clock.System, log, recorder{n, log}, n, n), n, d)
	})
}

func TestLifecycle(t *testing.T) {
	each(t, func(t *testing.T, s *share.Service, n *neighbours, d *db.DB) {
		ctx := object.WithUIDSeed(t.Context(), "first request")
		made, err := s.Create(ctx, share.Spec{Name: "Projects", ValidUsers: []string{"alice", "@staff"}})
		if err != nil {
			t.Fatal(err)
		}
		if made.Path != "/srv/smb/Projects" || made.NodeName != "n1" || made.Status.Phase != share.Applying || !*made.Browseable {
			t.Errorf("defaults: %+v", made)
		}
		again, err := s.Create(ctx, share.Spec{Name: "Projects", ValidUsers: []string{"alice", "@staff"}})
		if err != nil || again.UID != made.UID || len(n.changes) != 1 {
			t.Errorf("the same request again made %v, %v, changes %d", again.UID, err, len(n.changes))
		}
		ctx = t.Context()
		if _, err := s.Create(ctx, share.Spec{Name: "pROJECTS", Path: "/srv/smb/other"}); !problem.Is(err, share.CodeNameTaken) {
			t.Errorf("a name that differs in case only: %v", err)
		}
		for _, path := range []string{"/srv/smb/Projects", "/srv/smb/Projects/sub", "/srv/smb/Projects/"} {
			if _, err := s.Create(ctx, share.Spec{Name: "x", Path: path}); !problem.Is(err, share.CodePathTaken) {
				t.Errorf("path %s: %v", path, err)
			}
		}

		// Reports: only the right incarnation in the right generation counts.
		report := func(uid string, gen int64, ready object.Status) *desired.Report {
			return &desired.Report{NodeUID: "uid-1", Revision: desired.Revision{Number: 1}, Objects: []desired.ObjectReport{{
				Kind: desired.KindShare, UID: uid, ObservedGeneration: gen, Path: made.Path,
				Conditions: []object.Condition{{Type: object.Ready, Status: ready, Reason: "probe.passed", ObservedGeneration: gen}},
				Receipt:    &desired.Receipt{At: time.Unix(1e9, 0).UTC(), Generation: gen, Passed: ready == object.True},
			}}}
		}
		observe := func(r *desired.Report) share.Share {
			t.Helper()
			if err := d.Tx(ctx, func(ctx context.Context) error { return s.Observe(ctx, r) }); err != nil {
				t.Fatal(err)
			}
			got, err := s.Get(ctx, made.UID)
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		if got := observe(report("another", 1, object.True)); got.Status.Phase != share.Applying {
			t.Error("a report of another UID was believed")
		}
		if got := observe(report(made.UID, 1, object.True)); got.Status.Phase != share.Ready || got.Status.Receipt == nil || got.ETag() != made.ETag() {
			t.Errorf("after the report: %+v", got)
		}
		spec := made.Spec
		spec.Comment = "All projects"
		if _, err := s.Update(ctx, made.UID, `"7"`, spec); !problem.Is(err, problem.CodeStale) {
			t.Errorf("stale update: %v", err)
		}
		changed, err := s.Update(ctx, made.UID, made.ETag(), spec)
		if err != nil || changed.Generation != 2 || changed.Status.Phase != share.Applying {
			t.Fatalf("update: %+v, %v", changed, err)
		}
		if same, err := s.Update(ctx, made.UID, changed.ETag(), spec); err != nil || same.Generation != 2 {
			t.Errorf("an update that changes nothing: generation %d, %v", same.Generation, err)
		}
		if got := observe(report(made.UID, 1, object.True)); got.Status.Phase != share.Applying {
			t.Error("a report of an old generation was believed")
		}
		if got := observe(report(made.UID, 2, object.False)); got.Status.Phase != share.Failed {
			t.Errorf("after a failed probe: %s", got.Status.Phase)
		}

		// Deletion ends when the node has confirmed it.
		gone, err := s.Delete(ctx, made.UID, changed.ETag())
		if err != nil || gone.Status.Phase != share.Deleting {
			t.Fatalf("delete: %+v, %v", gone, err)
		}
		var snap desired.Snapshot
		if err := s.Contribute(ctx, "uid-1", &snap); err != nil || len(snap.Shares) != 0 {
			t.Errorf("a share that is being deleted is still desired: %v %v", snap.Shares, err)
		}
		if got := observe(&desired.Report{NodeUID: "uid-1", Revision: desired.Revision{Number: 1}}); got.Status.Phase != share.Deleting {
			t.Error("a report from before the deletion ended it")
		}
		held := observe(&desired.Report{NodeUID: "uid-1", Revision: desired.Revision{Number: 1000}, Held: []string{made.Name}})
		if c := object.Find(held.Status.Conditions, object.Ready); held.Status.Phase != share.Deleting || c.Reason != share.ReasonRemovalHeld {
			t.Errorf("a held removal: %+v", held.Status)
		}
		if _, err := s.Update(ctx, made.UID, "*", spec); !problem.Is(err, share.CodeDeleting) {
			t.Errorf("update while deleting: %v", err)
		}
		anew, err := s.Create(ctx, made.Spec)
		if err != nil || anew.UID == made.UID {
			t.Errorf("the name is not free again: %v", err)
		}
		if err := d.Tx(ctx, func(ctx context.Context) error {
			return s.Observe(ctx, &desired.Report{NodeUID: "uid-1", Revision: desired.Revision{Number: 1000}})
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Get(ctx, made.UID); !problem.Is(err, "share.not_found") {
			t.Errorf("after the confirmed deletion: %v", err)
		}
		if _, err := s.Get(ctx, anew.UID); err != nil {
			t.Errorf("the new share went with the old: %v", err)
		}
	})
}

func TestBadInput(t *testing.T) {
	each(t, func(t *testing.T, s *share.Service, n *neighbours, d *db.DB) {
		no := func(code string, spec share.Spec) {
			t.Helper()
			_, err := s.Create(t.Context(), spec)
			var p *problem.Error
			if !errors.As(err, &p) || p.Code != code || p.Detail == "" {
				t.Errorf("%+q: %v, want %s", spec.Name+" "+spec.Path, err, code)
			}
		}
		for _, name := range []string{"", strings.Repeat("a", 81), strings.Repeat("ü", 41), " a", "a.", "a/b", `a\b`, "a\nb", "a]\n[b", "a%b", "a\u202eb", "a\x00b", "a:b", "\xff"} {
			no(share.CodeNameInvalid, share.Spec{Name: name})
		}
		for _, name := range []string{"IPC$", "global", "Homes", "printers", "print$", "c$", "Z$"} {
			no(share.CodeNameReserved, share.Spec{Name: name})
		}
		for _, path := range []string{"relative", "/srv/smb/../../etc", "/srv/smb/a%U", "/srv/smb/a\nb", `/srv/smb/"a"`, "/srv/smb/a;b"} {
			no(share.CodePathInvalid, share.Spec{Name: "x", Path: path})
		}
		for _, path := range []string{"/etc", "/srv/smb", "/", "/srv/smbx/a"} {
			no(share.CodePathOutside, share.Spec{Name: "x", Path: path})
		}
		no(share.CodeTextInvalid, share.Spec{Name: "x", Comment: "a\nguest ok = yes"})
		no(share.CodeTextInvalid, share.Spec{Name: "x", Comment: "%U"})
		no(share.CodeTextInvalid, share.Spec{Name: "x", Comment: `a\`})
		no(share.CodePrincipalInvalid, share.Spec{Name: "x", ValidUsers: []string{"a b"}})
		no(share.CodePrincipalInvalid, share.Spec{Name: "x", ValidUsers: []string{"+alice"}})
		no(share.CodeUnknownPrincipal, share.Spec{Name: "x", ValidUsers: []string{"alice", "carol"}})
		no(share.CodeParameter, share.Spec{Name: "x", Parameters: map[string]string{"root preexec": "sh"}})
		no(share.CodeParameter, share.Spec{Name: "x", Parameters: map[string]string{"include": "/x"}})
		no(share.CodeParameter, share.Spec{Name: "x", Parameters: map[string]string{"smbgw:id": "1"}})
		no(share.CodeTextInvalid, share.Spec{Name: "x", Parameters: map[string]string{"veto files": "/a/\nguest ok = yes"}})
		no("node.not_found", share.Spec{Name: "x", Node: "elsewhere"})
		no(problem.CodeInvalid, share.Spec{Name: "", Comment: "%"})
		if len(n.changes) != 0 {
			t.Errorf("bad input left traces: %v", n.changes)
		}
		for _, name := range []string{"a", "Fotos 2026", "Überblick", "写真", "hidden$", "x.y-z_1"} {
			if _, err := s.Create(t.Context(), share.Spec{Name: name}); err != nil {
				t.Errorf("%q: %v", name, err)
			}
		}
	})
}

func TestList(t *testing.T) {
	each(t, func(t *testing.T, s *share.Service, n *neighbours, d *db.DB) {
		ctx := t.Context()
		for i := range 25 {
			if _, err := s.Create(ctx, share.Spec{Name: fmt.Sprintf("s%02d", i), Comment: map[bool]string{true: "50_off", false: "50xoff"}[i%5 == 0]}); err != nil {
				t.Fatal(err)
			}
		}
		for _, sort := range []string{"", "-name", "-createdAt,name", "phase,-updatedAt"} {
			seen, q := map[string]bool{}, db.ListQuery{Limit: 10, Sort: sort}
			for range 4 {
				page, err := s.List(ctx, q)
				if err != nil || page.Total != 25 {
					t.Fatalf("sort %q: total %d, %v", sort, page.Total, err)
				}
				for _, it := range page.Items {
					seen[it.Name] = true
				}
				if q.Cursor = page.NextCursor; q.Cursor == "" {
					break
				}
			}
			if len(seen) != 25 {
				t.Errorf("sort %q: %d of 25 seen", sort, len(seen))
			}
		}
		count := func(q db.ListQuery) int {
			t.Helper()
			page, err := s.List(ctx, q)
			if err != nil {
				t.Fatal(err)
			}
			return page.Total
		}
		if got := count(db.ListQuery{Search: "50_OFF"}); got != 5 {
			t.Errorf("search takes _ for a wildcard: %d", got)
		}
		if got := count(db.ListQuery{Search: "s1 50_off"}); got != 2 {
			t.Errorf("two words: %d", got)
		}
		if got := count(db.ListQuery{Filter: `name startswith "s1" and phase eq "Applying" and ready ne "True"`}); got != 10 {
			t.Errorf("filter: %d", got)
		}
		for _, q := range []db.ListQuery{{Filter: `x eq "1"`}, {Filter: `name eq`}, {Filter: `name eq "a`}, {Filter: `name eq a`}, {Filter: `name eq "a" or name eq "b"`},
			{Sort: "x"}, {Cursor: "x"}, {Filter: `name like "a"`}, {Filter: `name eq "a" and`}} {
			if _, err := s.List(ctx, q); !problem.Is(err, problem.CodeInvalid) {
				t.Errorf("%+v: %v", q, err)
			}
		}
	})
}
