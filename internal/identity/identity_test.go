package identity_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/clock"
	"github.com/pve-smb-gateway/smbgw/internal/db"
	"github.com/pve-smb-gateway/smbgw/internal/db/dbtest"
	"github.com/pve-smb-gateway/smbgw/internal/desired"
	"github.com/pve-smb-gateway/smbgw/internal/event"
	"github.com/pve-smb-gateway/smbgw/internal/identity"
	"github.com/pve-smb-gateway/smbgw/internal/object"
	"github.com/pve-smb-gateway/smbgw/internal/problem"
	"github.com/pve-smb-gateway/smbgw/internal/secret"
)

// room is the room with stand-ins for its neighbours: the audit trail, the shares, the tasks.
type room struct {
	*identity.Service
	db  *db.DB
	log *event.Log

	mu      sync.Mutex
	changes []event.Change
	shares  map[string][]string // by principal
	job     []byte              // payload of the import that was started
}

func (r *room) Record(ctx context.Context, c event.Change) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes = append(r.changes, c)
	return r.log.Append(ctx, event.Event{Type: c.Action, Kind: c.Kind, UID: c.UID, Name: c.Name, Revision: c.Revision, Scopes: c.Scopes})
}

func (r *room) SharesNaming(_ context.Context, principal string) ([]string, error) {
	return r.shares[principal], nil
}

func (r *room) startTask(ctx context.Context, kind, _ string, _ int, payload any) (string, error) {
	if !db.InTx(ctx) || kind != identity.ImportKind {
		return "", errors.New("not how a task is started")
	}
	var err error
	r.job, err = json.Marshal(payload)
	return object.UID(ctx), err
}

func newRoom(t testing.TB, d *db.DB) *room {
	t.Helper()
	sealer, err := secret.Open(filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	r := &room{db: d, log: event.NewLog(d, clock.System), shares: map[string][]string{}}
	r.Service = identity.New(identity.Deps{DB: d, Clock: clock.System, Events: r.log, Recorder: r, Sealer: sealer, Shares: r, StartTask: r.startTask})
	return r
}

var migrations = []db.Migrations{event.Migrations, identity.Migrations}

func each(t *testing.T, fn func(t *testing.T, r *room)) {
	t.Helper()
	dbtest.Each(t, migrations, func(t *testing.T, d *db.DB) { fn(t, newRoom(t, d)) })
}

func (r *room) user(t testing.TB, spec identity.UserSpec) identity.User {
	t.Helper()
	u, err := r.CreateUser(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func (r *room) group(t testing.TB, name string, members ...string) identity.Group {
	t.Helper()
	g, err := r.CreateGroup(t.Context(), identity.GroupSpec{Name: name, Members: members})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func (r *room) snapshot(t testing.TB) desired.Snapshot {
	t.Helper()
	var s desired.Snapshot
	if err := r.db.Read(t.Context(), func(ctx context.Context) error { return r.Contribute(ctx, "node", &s) }); err != nil {
		t.Fatal(err)
	}
	return s
}

// number is the number that a node compares its snapshot by.
func (r *room) number(t testing.TB) int64 {
	t.Helper()
	n, err := r.log.Number(t.Context(), event.AllNodes)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

const (
	password = "password" // of the known vector
	hash     = "8846F7EAEE8FB117AD06BDD830B7586C"
)

func TestUserLifecycle(t *testing.T) {
	each(t, func(t *testing.T, r *room) {
		ctx := t.Context()
		r.group(t, "staff")
		spec := identity.UserSpec{Name: "anna", FullName: "Anna Smith", Password: new(password), Groups: []string{"staff"}}
		seeded := object.WithUIDSeed(ctx, "request")
		made, err := r.CreateUser(seeded, spec)
		if err != nil {
			t.Fatal(err)
		}
		if made.ID != desired.FirstUserID || !made.Enabled || !made.PasswordSet || made.Generation != 1 || !slices.Equal(made.Groups, []string{"staff"}) {
			t.Errorf("%+v", made)
		}
		changes := len(r.changes)
		if again, err := r.CreateUser(seeded, spec); err != nil || again.UID != made.UID || len(r.changes) != changes {
			t.Errorf("the same request again: %+v, %v", again, err)
		}
		if _, err := r.CreateUser(ctx, spec); !problem.Is(err, "user.name_taken") {
			t.Errorf("a name twice: %v", err)
		}
		if _, err := r.CreateUser(ctx, identity.UserSpec{Name: "staff"}); !problem.Is(err, "user.name_taken") {
			t.Errorf("a user with the name of a group: %v", err)
		}
		if _, err := r.CreateGroup(ctx, identity.GroupSpec{Name: "anna"}); !problem.Is(err, "group.name_taken") {
			t.Errorf("a group with the name of a user: %v", err)
		}
		snap := r.snapshot(t)
		if u := snap.Users[0]; u.NTHash != hash || u.UID != made.UID || u.ID != made.ID || !u.Enabled || u.FullName != "Anna Smith" || u.PasswordSetAt.Year() < 2000 {
			t.Errorf("desired user %+v", u)
		}
		if g := snap.Groups[0]; !slices.Equal(g.Members, []string{"anna"}) || g.ID != desired.FirstGroupID || g.Generation != 2 {
			t.Errorf("desired group %+v", g)
		}

		// Nothing new: nothing written, no event.
		before := r.number(t)
		same, err := r.UpdateUser(ctx, made.UID, made.ETag(), spec)
		if err != nil || same.Revision != made.Revision || r.number(t) != before {
			t.Errorf("an update that changes nothing: revision %d, event %d after %d, %v", same.Revision, r.number(t), before, err)
		}
		if _, err := r.UpdateUser(ctx, made.UID, `"99"`, spec); !problem.Is(err, problem.CodeStale) {
			t.Errorf("stale: %v", err)
		}
		renamed := spec
		renamed.Name = "anne"
		if _, err := r.UpdateUser(ctx, made.UID, "*", renamed); !problem.Is(err, "user.name_immutable") {
			t.Errorf("rename: %v", err)
		}

		// A spec without a password keeps it; disabling reaches the nodes.
		changed, err := r.UpdateUser(ctx, made.UID, made.ETag(), identity.UserSpec{Name: "anna", Enabled: new(false)})
		if err != nil || changed.Enabled || !changed.PasswordSet || changed.FullName != "" || len(changed.Groups) != 0 || changed.Generation != 2 {
			t.Errorf("%+v, %v", changed, err)
		}
		snap = r.snapshot(t)
		if u := snap.Users[0]; u.NTHash != hash || u.Enabled || u.Generation != 2 || len(snap.Groups[0].Members) != 0 {
			t.Errorf("desired %+v", snap)
		}
		if r.number(t) <= before {
			t.Error("no node was told")
		}
		setAt := snap.Users[0].PasswordSetAt
		if changed, err = r.UpdateUser(ctx, made.UID, changed.ETag(), identity.UserSpec{Name: "anna", Password: new("a new password")}); err != nil {
			t.Fatal(err)
		}
		if u := r.snapshot(t).Users[0]; u.NTHash == hash || !u.PasswordSetAt.After(setAt) {
			t.Errorf("desired after a new password: %+v", u)
		}

		if err := r.DeleteUser(ctx, made.UID, made.ETag(), false); !problem.Is(err, problem.CodeStale) {
			t.Errorf("stale delete: %v", err)
		}
		if err := r.DeleteUser(ctx, made.UID, changed.ETag(), false); err != nil {
			t.Fatal(err)
		}
		if _, err := r.GetUser(ctx, made.UID); !problem.Is(err, "user.not_found") {
			t.Errorf("after delete: %v", err)
		}
		if len(r.snapshot(t).Users) != 0 {
			t.Error("a deleted user is still desired")
		}

		// The audit trail has it all, and no secret.
		var actions []string
		for _, c := range r.changes {
			actions = append(actions, c.Action)
		}
		if want := []string{"group.created", "user.created", "user.changed", "user.changed", "user.deleted"}; !slices.Equal(actions, want) {
			t.Errorf("recorded %v, want %v", actions, want)
		}
		text := jsonOf(t, r.changes)
		for _, s := range []string{password + `"`, hash, "a new password", "s1:"} {
			if strings.Contains(text, s) {
				t.Errorf("the audit trail holds %q: %s", s, text)
			}
		}
		if !strings.Contains(jsonOf(t, r.changes[3].After), `"passwordChanged":true`) || strings.Contains(jsonOf(t, r.changes[2].After), "passwordChanged") {
			t.Errorf("whether the password was changed: %s", jsonOf(t, r.changes[2:4]))
		}
	})
}

func jsonOf(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestHashIsSealed looks into the tables themselves.
func TestHashIsSealed(t *testing.T) {
	r := newRoom(t, dbtest.SQLite(t, migrations...))
	a := r.user(t, identity.UserSpec{Name: "anna", Password: new(password)})
	r.user(t, identity.UserSpec{Name: "bert"})
	var stored string
	read := func() {
		if err := r.db.Conn(t.Context()).NewRaw("SELECT nt_hash FROM identity_user WHERE uid = ?", a.UID).Scan(t.Context(), &stored); err != nil {
			t.Fatal(err)
		}
	}
	if read(); stored == "" || strings.Contains(strings.ToUpper(stored), hash) || strings.Contains(stored, password) {
		t.Errorf("stored %q", stored)
	}
	// A sealed value that is moved to another row does not open.
	if err := r.db.Tx(t.Context(), func(ctx context.Context) error {
		_, err := r.db.Conn(ctx).NewRaw("UPDATE identity_user SET nt_hash = ? WHERE name = 'bert'", stored).Exec(ctx)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	var s desired.Snapshot
	if err := r.Contribute(t.Context(), "node", &s); err == nil {
		t.Error("a hash that was copied to another user was handed out")
	}
}

func TestMembership(t *testing.T) {
	each(t, func(t *testing.T, r *room) {
		ctx := t.Context()
		a, b := r.user(t, identity.UserSpec{Name: "anna"}), r.user(t, identity.UserSpec{Name: "bert"})
		g := r.group(t, "staff", "bert", "anna", "bert")
		if !slices.Equal(g.Members, []string{"anna", "bert"}) {
			t.Errorf("members %v", g.Members)
		}
		get := func(uid string) identity.User {
			t.Helper()
			u, err := r.GetUser(ctx, uid)
			if err != nil {
				t.Fatal(err)
			}
			return u
		}
		// A membership changes both objects, whichever side it was written on.
		if got := get(a.UID); !slices.Equal(got.Groups, []string{"staff"}) || got.ETag() == a.ETag() || got.Generation != 2 {
			t.Errorf("%+v", got)
		}
		if _, err := r.UpdateUser(ctx, b.UID, b.ETag(), identity.UserSpec{Name: "bert"}); !problem.Is(err, problem.CodeStale) {
			t.Errorf("an edit that would undo an unseen membership: %v", err)
		}
		g2, err := r.UpdateGroup(ctx, g.UID, g.ETag(), identity.GroupSpec{Name: "staff", Members: []string{"anna"}})
		if err != nil || g2.Generation != 2 || !slices.Equal(g2.Members, []string{"anna"}) || len(get(b.UID).Groups) != 0 {
			t.Errorf("%+v, %v", g2, err)
		}
		if g3, err := r.UpdateGroup(ctx, g.UID, g2.ETag(), identity.GroupSpec{Name: "staff", Members: []string{"anna"}}); err != nil || g3.Revision != g2.Revision {
			t.Errorf("an update that changes nothing: %+v, %v", g3, err)
		}
		var p *problem.Error
		if _, err := r.UpdateGroup(ctx, g.UID, "*", identity.GroupSpec{Name: "staff", Members: []string{"anna", "carl"}}); !errors.As(err, &p) || p.Code != "group.member_unknown" || p.Fields[0].Pointer != "/members/1" {
			t.Errorf("unknown member: %v", err)
		}
		if _, err := r.CreateUser(ctx, identity.UserSpec{Name: "dora", Groups: []string{"staff", "nope"}}); !errors.As(err, &p) || p.Code != "user.group_unknown" || p.Fields[0].Pointer != "/groups/1" {
			t.Errorf("unknown group: %v", err)
		}
		if missing, err := r.Missing(ctx, []string{"anna", "@staff", "@anna", "staff", "dora"}); err != nil || !slices.Equal(missing, []string{"@anna", "staff", "dora"}) {
			t.Errorf("missing %v, %v", missing, err)
		}

		// What shares name stays, unless forced.
		r.shares["@staff"], r.shares["anna"] = []string{"projects", "b", "c", "d", "e", "f"}, []string{"projects"}
		if err := r.DeleteGroup(ctx, g.UID, "*", false); !problem.Is(err, "group.in_use") || !strings.Contains(err.Error(), "1 more") {
			t.Errorf("delete of a group in use: %v", err)
		}
		if err := r.DeleteUser(ctx, a.UID, "*", false); !problem.Is(err, "user.in_use") || !strings.Contains(err.Error(), "projects") {
			t.Errorf("delete of a user in use: %v", err)
		}
		if err := r.DeleteUser(ctx, a.UID, "*", true); err != nil {
			t.Fatal(err)
		}
		if got, err := r.GetGroup(ctx, g.UID); err != nil || len(got.Members) != 0 || got.Generation != 3 {
			t.Errorf("group after the delete of its member: %+v, %v", got, err)
		}
		if err := r.DeleteGroup(ctx, g.UID, "*", true); err != nil {
			t.Fatal(err)
		}
	})
}

// TestIDs: a Unix id is never given to another name, because files may still belong to it.
func TestIDs(t *testing.T) {
	each(t, func(t *testing.T, r *room) {
		ctx := t.Context()
		a := r.user(t, identity.UserSpec{Name: "anna"})
		if err := r.DeleteUser(ctx, a.UID, "*", false); err != nil {
			t.Fatal(err)
		}
		b := r.user(t, identity.UserSpec{Name: "bert"})
		if b.ID == a.ID {
			t.Error("bert got anna's files")
		}
		if again := r.user(t, identity.UserSpec{Name: "anna"}); again.ID != a.ID || again.UID == a.UID {
			t.Errorf("anna is back with id %d, had %d", again.ID, a.ID)
		}
		if c := r.user(t, identity.UserSpec{Name: "carl"}); c.ID != b.ID+1 {
			t.Errorf("carl has %d", c.ID)
		}
		// The end of the range.
		if err := r.db.Tx(ctx, func(ctx context.Context) error {
			_, err := r.db.Conn(ctx).NewRaw("UPDATE identity_next SET id = ? WHERE kind = 'user'", desired.LastUserID).Exec(ctx)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if last := r.user(t, identity.UserSpec{Name: "last"}); last.ID != desired.LastUserID {
			t.Errorf("last id %d", last.ID)
		}
		if _, err := r.CreateUser(ctx, identity.UserSpec{Name: "toomany"}); !problem.Is(err, "user.ids_exhausted") {
			t.Errorf("beyond the range: %v", err)
		}
	})
}

// TestConcurrent: many at once on PostgreSQL, some with the same name.
func TestConcurrent(t *testing.T) {
	r := newRoom(t, dbtest.Postgres(t, migrations...))
	r.group(t, "staff")
	var wg sync.WaitGroup
	var mu sync.Mutex
	ids, lost := map[int]string{}, 0
	for i := range 40 {
		wg.Go(func() {
			u, err := r.CreateUser(t.Context(), identity.UserSpec{Name: fmt.Sprintf("u%d", i%20), Groups: []string{"staff"}})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case problem.Is(err, "user.name_taken"):
				lost++
			case err != nil:
				t.Error(err)
			case ids[u.ID] != "":
				t.Errorf("id %d for %s and %s", u.ID, u.Name, ids[u.ID])
			default:
				ids[u.ID] = u.Name
			}
		})
	}
	wg.Wait()
	if len(ids) != 20 || lost != 20 {
		t.Errorf("%d made, %d refused", len(ids), lost)
	}
	if g := r.snapshot(t).Groups[0]; len(g.Members) != 20 {
		t.Errorf("%d members", len(g.Members))
	}
}

func TestObserve(t *testing.T) {
	each(t, func(t *testing.T, r *room) {
		u := r.user(t, identity.UserSpec{Name: "anna"})
		report := func(node, uid string, gen int64, status object.Status) {
			t.Helper()
			if err := r.db.Tx(t.Context(), func(ctx context.Context) error {
				return r.Observe(ctx, &desired.Report{NodeUID: node, Objects: []desired.ObjectReport{{
					Kind: desired.KindUser, UID: uid, ObservedGeneration: gen,
					Conditions: []object.Condition{{Type: object.Applied, Status: status, Reason: "r", Message: node, ObservedGeneration: gen, LastTransitionAt: time.Now()}},
				}}})
			}); err != nil {
				t.Fatal(err)
			}
		}
		applied := func() string {
			t.Helper()
			got, err := r.GetUser(t.Context(), u.UID)
			if err != nil {
				t.Fatal(err)
			}
			if got.ETag() != u.ETag() {
				t.Error("a report changed the ETag")
			}
			if c := object.Find(got.Status.Conditions, object.Applied); c != nil {
				return string(c.Status) + " " + c.Message
			}
			return ""
		}
		report("n1", "unknown", 1, object.True)
		report("n1", u.UID, 7, object.True)
		if got := applied(); got != "" {
			t.Errorf("believed a report of another UID or generation: %s", got)
		}
		report("n1", u.UID, 1, object.True)
		if got := applied(); got != "True n1" {
			t.Error(got)
		}
		head, err := r.log.Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		report("n1", u.UID, 1, object.True) // only its time differs
		if now, err := r.log.Head(t.Context()); err != nil || now != head {
			t.Errorf("the same report again made event %d after %d, %v", now, head, err)
		}
		report("n2", u.UID, 1, object.False)
		if got := applied(); got != "False n2" {
			t.Errorf("the worst of two nodes: %s", got)
		}
		if err := r.db.Tx(t.Context(), func(ctx context.Context) error { return r.ForgetNode(ctx, "n2") }); err != nil {
			t.Fatal(err)
		}
		if got := applied(); got != "True n1" {
			t.Errorf("without n2: %s", got)
		}
	})
}

func TestList(t *testing.T) {
	each(t, func(t *testing.T, r *room) {
		r.group(t, "staff")
		for i := range 12 {
			r.user(t, identity.UserSpec{Name: fmt.Sprintf("u%02d", i), FullName: fmt.Sprintf("Übung %d", i%3), Enabled: new(i%2 == 0), Groups: []string{"staff"}})
		}
		for _, sort := range []string{"", "-id", "fullName,-name", "enabled", "-createdAt", "updatedAt"} {
			seen, q := map[string]bool{}, db.ListQuery{Limit: 5, Sort: sort}
			for range 3 {
				page, err := r.ListUsers(t.Context(), q)
				if err != nil || page.Total != 12 {
					t.Fatalf("sort %q: %d, %v", sort, page.Total, err)
				}
				for _, u := range page.Items {
					seen[u.Name] = len(u.Groups) == 1
				}
				q.Cursor = page.NextCursor
			}
			if len(seen) != 12 || q.Cursor != "" {
				t.Errorf("sort %q: %v", sort, seen)
			}
		}
		page, err := r.ListUsers(t.Context(), db.ListQuery{Search: "ÜBUNG 1", Filter: "enabled eq true"})
		if err != nil || page.Total != 2 {
			t.Errorf("%d found, %v", page.Total, err)
		}
		groups, err := r.ListGroups(t.Context(), db.ListQuery{Filter: fmt.Sprintf("id eq %d", desired.FirstGroupID)})
		if err != nil || groups.Total != 1 || len(groups.Items[0].Members) != 12 {
			t.Errorf("%+v, %v", groups, err)
		}
	})
}

func TestBadInput(t *testing.T) {
	r := newRoom(t, dbtest.SQLite(t, migrations...))
	no := func(code string, spec identity.UserSpec) {
		t.Helper()
		_, err := r.CreateUser(t.Context(), spec)
		var p *problem.Error
		if !errors.As(err, &p) || p.Code != code || len(p.Fields) != 1 || p.Detail == "" {
			t.Errorf("%+q: %v, want %s", spec.Name, err, code)
		}
		if spec.Password != nil && *spec.Password != "" && strings.Contains(fmt.Sprint(err), *spec.Password) {
			t.Errorf("the password is in the error: %v", err)
		}
	}
	for _, name := range []string{"", strings.Repeat("a", 33), "Anna", "1anna", "an na", "an:na", "an\nna", "änna", "anna$", "-a", ".a", "an%Una", "@anna", "an/na", "an\x00na", "anna\u202e", `an\na`, "+anna"} {
		no("user.name_invalid", identity.UserSpec{Name: name})
	}
	for _, name := range []string{"root", "nobody", "smbgw", "smbgw-stranger", "smbgw-anything", "administrator", "guest", "everyone", "systemd-x", "sudo", "krbtgt", "global"} {
		no("user.name_reserved", identity.UserSpec{Name: name})
	}
	for _, pw := range []string{"", "short12", "ünïcöde"} {
		no("user.password_weak", identity.UserSpec{Name: "anna", Password: &pw})
	}
	for _, pw := range []string{"with\ttabulator", "with\nnewline", "with\x00zero...", strings.Repeat("x", 128), "bad\xffutf8..."} {
		no("user.password_invalid", identity.UserSpec{Name: "anna", Password: &pw})
	}
	for _, name := range []string{"a:b", "a\nroot:x:0:0", strings.Repeat("ü", 129), "a\x7f"} {
		no("user.full_name_invalid", identity.UserSpec{Name: "anna", FullName: name})
	}
	if _, err := r.CreateGroup(t.Context(), identity.GroupSpec{Name: "sudo"}); !problem.Is(err, "group.name_reserved") {
		t.Errorf("group sudo: %v", err)
	}
	var p *problem.Error
	if _, err := r.CreateUser(t.Context(), identity.UserSpec{Name: "A", FullName: "a:b", Password: new("x")}); !errors.As(err, &p) || len(p.Fields) != 3 {
		t.Errorf("three mistakes at once: %v", err)
	}
	if page, err := r.ListUsers(t.Context(), db.ListQuery{}); err != nil || page.Total != 0 || len(r.changes) != 0 {
		t.Errorf("bad input left traces: %+v, %v", page, err)
	}
	for _, name := range []string{"a", "_x", "a.b-c_1", strings.Repeat("a", 32), "staff"} {
		r.user(t, identity.UserSpec{Name: name, FullName: "Ünï 写真 O'Neil, Dr.", Password: new("ünïcödë 写真")})
	}
}
