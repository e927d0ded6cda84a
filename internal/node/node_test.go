package node_test

import (
	"context"
	"encoding/json"
	"errors"
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
	"github.com/pve-smb-gateway/smbgw/internal/link"
	"github.com/pve-smb-gateway/smbgw/internal/link/linktest"
	"github.com/pve-smb-gateway/smbgw/internal/node"
	"github.com/pve-smb-gateway/smbgw/internal/object"
	"github.com/pve-smb-gateway/smbgw/internal/problem"
	"github.com/pve-smb-gateway/smbgw/internal/secret"
)

// recorder stands for the audit room: it appends the event, as the real one does, and keeps the change.
type recorder struct {
	log *event.Log

	mu      sync.Mutex
	changes []event.Change
}

func (r *recorder) Record(ctx context.Context, c event.Change) error {
	r.mu.Lock()
	r.changes = append(r.changes, c)
	r.mu.Unlock()
	return r.log.Append(ctx, event.Event{Type: c.Action, Kind: c.Kind, UID: c.UID, Name: c.Name, Revision: c.Revision, Scopes: c.Scopes})
}

func (r *recorder) actions() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, c := range r.changes {
		out = append(out, strings.TrimPrefix(c.Action, "node."))
	}
	return strings.Join(out, " ")
}

type room struct {
	*node.Service
	d     *db.DB
	rec   *recorder
	log   *event.Log
	clock *clock.Fake
}

func each(t *testing.T, fn func(t *testing.T, r room)) {
	dbtest.Each(t, []db.Migrations{event.Migrations, node.Migrations}, func(t *testing.T, d *db.DB) {
		fake := clock.NewFake(time.Now())
		log := event.NewLog(d, fake)
		rec := &recorder{log: log}
		s := node.NewService(d, fake, log, rec, node.Options{ServerURL: "https://gw:8443", Fingerprint: "SHA256:x"})
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		fn(t, room{s, d, rec, log, fake})
	})
}

// enrol makes a node and returns its UID; its key hash is "key-NAME".
func (r room) enrol(t *testing.T, name string) string {
	t.Helper()
	e, err := r.CreateEnrolment(t.Context(), node.EnrolmentSpec{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	done, err := r.Enrol(t.Context(), link.Enrolment{Token: secret.NewString(e.Token), KeyHash: "key-" + name, Addr: "192.0.2.7", Facts: link.Facts{Hostname: "host-" + name}})
	if err != nil {
		t.Fatal(err)
	}
	return done.NodeUID
}

func (r room) get(t *testing.T, uid string) node.Node {
	t.Helper()
	n, err := r.Get(t.Context(), uid)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (r room) attach(t *testing.T, uid, name string, restored bool) {
	t.Helper()
	p := link.Peer{NodeUID: uid, KeyHash: "key-" + name, Addr: "192.0.2.7"}
	epoch, err := r.Admit(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	a := link.Attachment{LinkEpoch: epoch + 1, Restored: restored, Facts: link.Facts{Hostname: "host-" + name, AgentVersion: "1"}}
	if err := r.Attached(t.Context(), p, a); err != nil {
		t.Fatal(err)
	}
}

// subject is the room as the link's suite wants it.
type subject struct{ *node.Service }

func (s subject) NewToken(ctx context.Context, name string, ttl time.Duration) (string, error) {
	e, err := s.CreateEnrolment(ctx, node.EnrolmentSpec{Name: name, TTLSeconds: int(ttl / time.Second), Replace: true})
	return e.Token, err
}

func (s subject) Delete(ctx context.Context, uid string) error {
	return s.Service.Delete(ctx, uid, "*")
}

func TestLinkNodes(t *testing.T) {
	each(t, func(t *testing.T, r room) { linktest.NodesSuite(t, subject{r.Service}, r.clock.Advance) })
}

func TestEnrolments(t *testing.T) {
	each(t, func(t *testing.T, r room) {
		ctx := object.WithUIDSeed(t.Context(), "one request")
		e, err := r.CreateEnrolment(ctx, node.EnrolmentSpec{Name: "alpha"})
		if err != nil {
			t.Fatal(err)
		}
		if want := "smbgw agent enrol --server https://gw:8443 --fingerprint SHA256:x --token-file -"; e.Command != want || strings.Contains(e.Command, e.Token) {
			t.Errorf("command %q", e.Command)
		}
		if ttl := e.ExpiresAt.Sub(e.CreatedAt); ttl != time.Hour {
			t.Errorf("default life %v", ttl)
		}
		again, err := r.CreateEnrolment(ctx, node.EnrolmentSpec{Name: "alpha"})
		if err != nil || again.UID != e.UID || again.Token == e.Token {
			t.Errorf("the same request again: %+v, %v", again.Enrolment, err)
		}
		list, err := r.Enrolments(ctx)
		if err != nil || len(list) != 1 {
			t.Fatalf("%+v, %v", list, err)
		}
		// The token is in nothing that is kept.
		raw, err := json.Marshal([]any{list, r.rec.changes})
		if err != nil || strings.Contains(string(raw), again.Token) {
			t.Errorf("the token is kept: %s, %v", raw, err)
		}
		for _, bad := range []string{"", "Alpha", "a b", "-a", "a-", "a/b", strings.Repeat("a", 64), "ä", "a\n"} {
			if _, err := r.CreateEnrolment(t.Context(), node.EnrolmentSpec{Name: bad}); !problem.Is(err, node.CodeNameInvalid) {
				t.Errorf("name %q: %v", bad, err)
			}
		}
		if err := r.RevokeEnrolment(t.Context(), e.UID); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Enrol(t.Context(), link.Enrolment{Token: secret.NewString(again.Token), KeyHash: "k"}); !problem.Is(err, node.CodeTokenInvalid) {
			t.Errorf("revoked token: %v", err)
		}
		if err := r.RevokeEnrolment(t.Context(), e.UID); !problem.Is(err, "enrolment.not_found") {
			t.Errorf("revoked twice: %v", err)
		}
		r.enrol(t, "beta")
		if _, err := r.CreateEnrolment(t.Context(), node.EnrolmentSpec{Name: "beta"}); !problem.Is(err, node.CodeNameTaken) {
			t.Errorf("name of a node: %v", err)
		}
	})
}

func TestLifecycle(t *testing.T) {
	each(t, func(t *testing.T, r room) {
		ctx := t.Context()
		uid := r.enrol(t, "alpha")
		if n := r.get(t, uid); n.Status.Phase != node.Pending || n.Status.Hostname != "host-alpha" || n.Name != "alpha" || n.Address != "" {
			t.Errorf("enrolled: %+v", n)
		}
		r.attach(t, uid, "alpha", false)
		n := r.get(t, uid)
		if n.Status.Phase != node.Online || !object.Is(n.Status.Conditions, object.Reachable, object.True) || n.Status.LastSeenAt == nil {
			t.Errorf("attached: %+v", n.Status)
		}
		if n.Revision != 1 || n.Generation != 1 {
			t.Errorf("status moved the ETag: %+v", n.Meta)
		}
		f := link.Fencing{HolderAddr: "192.0.2.7", Holder: "orig", NewcomerAddr: "192.0.2.8", Newcomer: "copy"}
		head := func() int64 {
			h, err := r.log.Head(ctx)
			if err != nil {
				t.Fatal(err)
			}
			return h
		}
		before := head()
		for range 3 {
			if err := r.Fenced(ctx, uid, f); err != nil {
				t.Fatal(err)
			}
		}
		if head() != before+1 {
			t.Errorf("%d events of one copy", head()-before)
		}
		n = r.get(t, uid)
		c := object.Find(n.Status.Conditions, node.ConditionFenced)
		if n.Status.Phase != node.Fenced || c == nil || c.Reason != "link.cloned" || !strings.Contains(c.Message, "192.0.2.7") ||
			!strings.Contains(c.Message, "192.0.2.8") || !strings.Contains(c.Message, "token") {
			t.Errorf("fenced: %v %+v", n.Status.Phase, c)
		}
		if err := r.Unfenced(ctx, uid); err != nil {
			t.Fatal(err)
		}
		if n := r.get(t, uid); n.Status.Phase != node.Online {
			t.Errorf("unfenced: %v", n.Status.Phase)
		}
		if err := r.Detached(ctx, uid); err != nil {
			t.Fatal(err)
		}
		if n := r.get(t, uid); n.Status.Phase != node.Offline {
			t.Errorf("detached: %v", n.Status.Phase)
		}
		r.attach(t, uid, "alpha", true)
		if c := object.Find(r.get(t, uid).Status.Conditions, object.Reachable); c.Reason != "link.restored" {
			t.Errorf("restored: %+v", c)
		}
		// A restart of the server does not believe that agents are still there.
		if err := r.Start(ctx); err != nil {
			t.Fatal(err)
		}
		if n := r.get(t, uid); n.Status.Phase != node.Offline {
			t.Errorf("after the start: %v", n.Status.Phase)
		}
	})
}

func TestSpec(t *testing.T) {
	each(t, func(t *testing.T, r room) {
		ctx := t.Context()
		uid := r.enrol(t, "alpha")
		r.enrol(t, "beta")
		if _, err := r.Update(ctx, uid, `"99"`, node.Spec{Name: "gamma"}); !problem.Is(err, problem.CodeStale) {
			t.Errorf("stale: %v", err)
		}
		if _, err := r.Update(ctx, uid, `"1"`, node.Spec{Name: "beta"}); !problem.Is(err, node.CodeNameTaken) {
			t.Errorf("taken: %v", err)
		}
		for _, addr := range []string{"a b", "host:445", "http://x", "-x", "a..b", "a\nb"} {
			if _, err := r.Update(ctx, uid, `"1"`, node.Spec{Name: "alpha", AdvertisedAddress: addr}); !problem.Is(err, node.CodeAddressInvalid) {
				t.Errorf("address %q: %v", addr, err)
			}
		}
		n, err := r.Update(ctx, uid, `"1"`, node.Spec{Name: "gamma", AdvertisedAddress: "files.example.com"})
		if err != nil || n.Revision != 2 || n.Generation != 2 || n.Address != "files.example.com" {
			t.Errorf("%+v, %v", n, err)
		}
		if same, err := r.Update(ctx, uid, `"2"`, n.Spec); err != nil || same.Revision != 2 {
			t.Errorf("no change: %+v, %v", same.Meta, err)
		}
		page, err := r.List(ctx, db.ListQuery{Search: "host-alpha", Filter: `phase eq "Pending"`, Sort: "-name"})
		if err != nil || page.Total != 1 || page.Items[0].Name != "gamma" {
			t.Errorf("%+v, %v", page, err)
		}
		for ref, want := range map[string]string{uid: "gamma", "gamma": "gamma", "beta": "beta"} {
			if _, name, _, err := r.Resolve(ctx, ref); err != nil || name != want {
				t.Errorf("resolve %q: %q, %v", ref, name, err)
			}
		}
		if _, _, _, err := r.Resolve(ctx, "alpha"); !problem.Is(err, node.CodeNotFound) {
			t.Errorf("resolve the old name: %v", err)
		}
		if _, _, _, err := r.Resolve(ctx, ""); !problem.Is(err, node.CodeAmbiguous) {
			t.Errorf("resolve nothing of two: %v", err)
		}
		if names, err := r.Names(ctx); err != nil || len(names) != 2 || names[uid] != "gamma" {
			t.Errorf("%v, %v", names, err)
		}
	})
}

func TestDelete(t *testing.T) {
	each(t, func(t *testing.T, r room) {
		ctx := t.Context()
		if _, _, _, err := r.Resolve(ctx, ""); !problem.Is(err, node.CodeNone) {
			t.Errorf("resolve nothing of none: %v", err)
		}
		uid := r.enrol(t, "alpha")
		if got, _, _, err := r.Resolve(ctx, ""); err != nil || got != uid {
			t.Errorf("resolve nothing of one: %v, %v", got, err)
		}
		var forgotten, cut []string
		fail := errors.New("cannot forget")
		var err error
		r.Bind(node.Neighbours{
			Forget: []func(context.Context, string) error{func(ctx context.Context, uid string) error {
				if !db.InTx(ctx) {
					t.Error("forget outside the transaction")
				}
				forgotten = append(forgotten, uid)
				return err
			}},
			Disconnect: func(uid string) { cut = append(cut, uid) },
		})
		err = fail
		if got := r.Delete(ctx, uid, "*"); !errors.Is(got, fail) || len(cut) > 0 {
			t.Errorf("a neighbour fails: %v, cut %v", got, cut)
		}
		r.get(t, uid)
		err = nil
		if got := r.Delete(ctx, uid, `"7"`); !problem.Is(got, problem.CodeStale) {
			t.Errorf("stale: %v", got)
		}
		if got := r.Delete(ctx, uid, `"1"`); got != nil {
			t.Fatal(got)
		}
		if !slices.Equal(cut, []string{uid}) || forgotten[len(forgotten)-1] != uid {
			t.Errorf("cut %v, forgotten %v", cut, forgotten)
		}
		if _, got := r.Get(ctx, uid); !problem.Is(got, node.CodeNotFound) {
			t.Errorf("get: %v", got)
		}
		// What still comes from the link does no harm.
		for _, got := range []error{r.Detached(ctx, uid), r.Fenced(ctx, uid, link.Fencing{}), r.Report(ctx, &desired.Report{NodeUID: uid})} {
			if got != nil {
				t.Error(got)
			}
		}
		if got := r.rec.actions(); got != "enrolment_created enrolled deleted" {
			t.Errorf("audit: %s", got)
		}
	})
}

func TestReport(t *testing.T) {
	each(t, func(t *testing.T, r room) {
		ctx := t.Context()
		uid := r.enrol(t, "alpha")
		r.attach(t, uid, "alpha", false)
		started := time.Date(2026, 1, 2, 3, 4, 5, 678901234, time.UTC)
		report := func() *desired.Report {
			return &desired.Report{NodeUID: uid, Revision: desired.Revision{Epoch: "e", Number: 5}, Held: []string{"old"}, Node: desired.NodeReport{
				Hostname: "real", SambaVersion: "4.17.12", OS: "Debian", ShareRoots: []string{"/srv"}, SMBAddress: "0.0.0.0:1445",
				SmbdPID: 42, SmbdStarted: started, Conditions: []object.Condition{
					{Type: object.Degraded, Status: object.True, Reason: "smbd.crashed", Message: "m"},
					{Type: object.Reachable, Status: object.False, Reason: "lie"},
				},
			}}
		}
		var seen []desired.Revision
		r.Bind(node.Neighbours{Observers: []desired.Observer{observer(func(ctx context.Context, r *desired.Report) {
			if !db.InTx(ctx) {
				t.Error("observed outside the transaction")
			}
			seen = append(seen, r.Revision)
		})}})
		if err := r.Report(ctx, report()); err != nil {
			t.Fatal(err)
		}
		current, err := r.Revision(ctx, uid)
		if err != nil {
			t.Fatal(err)
		}
		now := report()
		now.Revision = current
		if err := r.Report(ctx, now); err != nil {
			t.Fatal(err)
		}
		// Numbers of another store epoch tell the other rooms nothing.
		if !slices.Equal(seen, []desired.Revision{{Epoch: "e"}, current}) {
			t.Errorf("observers saw %v", seen)
		}
		if err := r.Report(ctx, report()); err != nil {
			t.Fatal(err)
		}
		n := r.get(t, uid)
		if n.Address != "192.0.2.7" || n.SMBPort != 1445 || !slices.Equal(n.ShareRoots, []string{"/srv"}) || n.Status.Hostname != "real" ||
			n.Status.AppliedRevision != "e:5" || !slices.Equal(n.Status.Held, []string{"old"}) || !n.Status.SmbdStarted.Equal(started) {
			t.Errorf("%+v", n)
		}
		if !object.Is(n.Status.Conditions, object.Degraded, object.True) || !object.Is(n.Status.Conditions, object.Reachable, object.True) {
			t.Errorf("conditions %+v", n.Status.Conditions)
		}
		if _, _, roots, err := r.Resolve(ctx, "alpha"); err != nil || len(roots) != 1 {
			t.Errorf("roots %v, %v", roots, err)
		}
		head, err := r.log.Head(ctx)
		if err != nil {
			t.Fatal(err)
		}
		lastSeen := *n.Status.LastSeenAt
		r.clock.Advance(time.Minute)
		if err := r.Report(ctx, report()); err != nil {
			t.Fatal(err)
		}
		if now, err := r.log.Head(ctx); err != nil || now != head {
			t.Errorf("the same report again made %d events, %v", now-head, err)
		}
		if n := r.get(t, uid); !n.Status.LastSeenAt.After(lastSeen) {
			t.Errorf("last seen %v", n.Status.LastSeenAt)
		}
		again := report()
		again.Node.Conditions, again.Held, again.Node.SMBAddress = nil, nil, "198.51.100.1:445"
		if err := r.Report(ctx, again); err != nil {
			t.Fatal(err)
		}
		n = r.get(t, uid)
		if object.Find(n.Status.Conditions, object.Degraded) != nil || len(n.Status.Held) != 0 || n.Address != "198.51.100.1" || n.SMBPort != 445 {
			t.Errorf("%+v", n)
		}
	})
}

type observer func(ctx context.Context, r *desired.Report)

func (o observer) Observe(ctx context.Context, r *desired.Report) error {
	o(ctx, r)
	return nil
}

type contributor struct{ name string }

func (c contributor) Contribute(_ context.Context, _ string, s *desired.Snapshot) error {
	s.Shares = append(s.Shares, desired.Share{Name: c.name})
	return nil
}

func TestSnapshotAndStoreEpoch(t *testing.T) {
	each(t, func(t *testing.T, r room) {
		ctx := t.Context()
		uid, other := r.enrol(t, "alpha"), r.enrol(t, "beta")
		r.Bind(node.Neighbours{Contributors: []desired.Contributor{contributor{"b"}, contributor{"a"}}})
		s, err := r.Snapshot(ctx, uid)
		if err != nil || len(s.Shares) != 2 || s.Shares[0].Name != "a" || s.NodeUID != uid || s.Revision.Epoch == "" || s.Users == nil {
			t.Fatalf("%+v, %v", s, err)
		}
		rev, err := r.Revision(ctx, uid)
		if err != nil || rev != s.Revision {
			t.Errorf("revision %v, snapshot %v, %v", rev, s.Revision, err)
		}
		// A start does not change the epoch.
		if err := r.Start(ctx); err != nil {
			t.Fatal(err)
		}
		if again, err := r.Revision(ctx, uid); err != nil || again != rev {
			t.Errorf("after a start %v, before %v, %v", again, rev, err)
		}

		n, err := r.ConfirmRemovals(ctx, uid, `"1"`)
		if err != nil || n.Revision != 2 {
			t.Fatalf("%+v, %v", n.Meta, err)
		}
		s, err = r.Snapshot(ctx, uid)
		if err != nil || s.ConfirmedEpoch != s.Revision.Epoch || s.ConfirmedNumber != s.Revision.Number || s.Revision.Number <= rev.Number {
			t.Errorf("confirmed: %+v, %v", s, err)
		}
		if o, err := r.Snapshot(ctx, other); err != nil || o.ConfirmedEpoch != "" {
			t.Errorf("the other node: %+v, %v", o, err)
		}
		if _, err := r.ConfirmRemovals(ctx, uid, `"1"`); !problem.Is(err, problem.CodeStale) {
			t.Errorf("stale: %v", err)
		}

		// Two agents tell of a restore: one new epoch, for all nodes.
		ahead := desired.Revision{Epoch: s.Revision.Epoch, Number: s.Revision.Number + 100}
		if err := r.Behind(ctx, uid, ahead); err != nil {
			t.Fatal(err)
		}
		fresh, err := r.Revision(ctx, other)
		if err != nil || fresh.Epoch == ahead.Epoch {
			t.Fatalf("%v, %v", fresh, err)
		}
		if err := r.Behind(ctx, other, ahead); err != nil {
			t.Fatal(err)
		}
		if again, err := r.Revision(ctx, uid); err != nil || again.Epoch != fresh.Epoch {
			t.Errorf("a second epoch %v after %v, %v", again, fresh, err)
		}
		if s, err := r.Snapshot(ctx, uid); err != nil || s.ConfirmedEpoch == s.Revision.Epoch {
			t.Errorf("the confirmation outlived the epoch: %+v, %v", s, err)
		}
	})
}

// The whole way over TLS, with this room behind the link.
func TestOverTheWire(t *testing.T) {
	each(t, func(t *testing.T, r room) {
		served := linktest.Serve(t, r, r, link.Options{PingEvery: 50 * time.Millisecond})
		r.Bind(node.Neighbours{Disconnect: served.Disconnect})
		ctx := t.Context()
		e, err := r.CreateEnrolment(ctx, node.EnrolmentSpec{Name: "alpha"})
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), "id")
		id, err := link.Enrol(ctx, link.EnrolRequest{
			Dir: dir, Server: served.URL, Fingerprint: served.CA.Fingerprint(), Token: secret.NewString(e.Token),
		})
		if err != nil {
			t.Fatal(err)
		}
		c, err := link.NewClient(dir, link.ClientOptions{BackoffMin: 10 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		run, stop := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); c.Run(run) }()
		t.Cleanup(func() { stop(); <-done })
		<-c.Nudges()
		if n := r.get(t, id.NodeUID); n.Status.Phase != node.Online {
			t.Errorf("%+v", n.Status)
		}
		f, err := c.FetchSnapshot(ctx, desired.Revision{})
		if err != nil || f.Snapshot.NodeUID != id.NodeUID {
			t.Fatalf("%+v, %v", f, err)
		}
		c.SendReport(&desired.Report{NodeUID: id.NodeUID, Revision: f.Snapshot.Revision, Node: desired.NodeReport{Hostname: "told"}})
		until := func(what string, ok func() bool) {
			t.Helper()
			for deadline := time.Now().Add(15 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("this never came: %s", what)
				}
			}
		}
		until("the report", func() bool { return r.get(t, id.NodeUID).Status.Hostname == "told" })
		if err := r.Delete(ctx, id.NodeUID, "*"); err != nil {
			t.Fatal(err)
		}
		until("refusal", func() bool { return c.Status().State == link.StateRefused })
		if reason := c.Status().Reason; !strings.Contains(reason, "enrol") {
			t.Errorf("told %q", reason)
		}
	})
}
