package reconcile

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pve-smb-gateway/smbgw/internal/desired"
	"github.com/pve-smb-gateway/smbgw/internal/samba"
	"github.com/pve-smb-gateway/smbgw/internal/samba/sambatest"
)

const root = "/srv/shares"

var testNode = Node{ShareRoots: []string{root}, StrangerHash: "0CB6948805F797BF2A82807973B89537"}

// world is a control plane, one node, and what each side remembers.
type world struct {
	fake    *sambatest.Fake
	snap    desired.Snapshot
	shares  map[string]desired.Share // by name
	users   map[string]desired.User
	byHand  map[string]samba.Section
	epoch   string // the agent's memory
	nextUID int
}

// killed is what a crash throws.
type killed struct{}

// pass runs one pass; at the write number kill the process dies, before or after that write has happened.
func (w *world) pass(t *rapid.T, kill int, after bool) (r Result, dead bool) {
	n := 0
	w.fake.Fault = func(call string, isAfter bool) error {
		if call == "close" && isAfter { // clients come back at once
			for _, name := range names {
				if _, ours := w.section(name); ours {
					w.fake.Connect(name)
				}
			}
		}
		if isAfter == after {
			if n++; n == kill {
				panic(killed{})
			}
		}
		return nil
	}
	defer func() {
		w.fake.Fault = nil
		if e := recover(); e != nil {
			if _, ok := e.(killed); !ok {
				panic(e)
			}
			dead = true
		}
	}()
	snap := w.snap
	snap.Shares = slices.Collect(maps.Values(w.shares))
	snap.Users = slices.Collect(maps.Values(w.users))
	snap.Sort()
	r, err := Pass(context.Background(), w.fake, &snap, Options{Node: testNode, LastEpoch: w.epoch,
		Remember: func(e string) error { w.epoch = e; return nil }})
	if err != nil {
		t.Fatalf("pass: %v", err)
	}
	return r, false
}

func (w *world) marked() map[string]samba.Section {
	st, _ := w.fake.Observe(context.Background())
	m := map[string]samba.Section{}
	for _, s := range st.Sections {
		if s.ID != "" {
			m[s.ID] = s
		}
	}
	return m
}

// keepsPromises checks what has to be true at any moment, also after a crash in the middle of a pass.
func (w *world) keepsPromises(t *rapid.T) {
	st, _ := w.fake.Observe(context.Background())
	foreign := map[string]samba.Section{}
	for _, s := range st.Sections {
		if s.ID == "" {
			foreign[samba.FoldName(s.Name)] = s
		}
	}
	if d := cmp.Diff(w.byHand, foreign); d != "" {
		t.Fatalf("sections without our marker were touched:\n%s", d)
	}
}

// converged checks what has to be true once passes were left alone.
func (w *world) converged(t *rapid.T, r Result) {
	want := map[string]samba.Section{}
	problems := map[string]string{}
	for _, o := range r.Outcomes {
		if o.Problem != nil {
			problems[o.UID] = o.Problem.Reason
		}
	}
	for _, s := range w.shares {
		if problems[s.UID] == "" {
			want[s.UID], _ = Render(s, testNode)
		}
	}
	for uid, have := range w.marked() {
		switch {
		case slices.Contains(r.Held, have.Name):
			if r.Hold == nil {
				t.Fatal("held without a reason")
			}
		case problems[uid] != "":
		default:
			if d := cmp.Diff(want[uid], have); d != "" {
				t.Fatalf("section %s (-want +got):\n%s", have.Name, d)
			}
			delete(want, uid)
		}
	}
	if len(want) > 0 {
		t.Fatalf("not there: %v", slices.Collect(maps.Values(want)))
	}
	// Nobody is still connected by a section that allowed more than the one of now.
	st, _ := w.fake.Observe(context.Background())
	now := map[string]samba.Section{}
	for _, s := range st.Sections {
		now[samba.FoldName(s.Name)] = s
	}
	for name, by := range w.fake.Connected {
		if narrows(by, now[name]) {
			t.Fatalf("a client stays connected to %s by\n%+v\nwhile the section is\n%+v", name, by, now[name])
		}
	}
	users := map[string]bool{desired.OwnerName: true, desired.StrangerName: true}
	for _, u := range st.Accounts.Users {
		d, ok := w.users[u.Name]
		if !ok && !users[u.Name] && !slices.Contains(r.HeldUsers, u.Name) {
			t.Fatalf("user %s is left over", u.Name)
		}
		if ok && (d.ID != u.ID || d.NTHash != u.NTHash) {
			t.Fatalf("user %+v, want %+v", u, d)
		}
		users[u.Name] = true
	}
	for n := range w.users {
		if !users[n] {
			t.Fatalf("user %s is missing", n)
		}
	}
}

func (w *world) share(t *rapid.T, name string) desired.Share {
	w.nextUID++
	s := desired.Share{UID: fmt.Sprintf("uid-%04d", w.nextUID), Name: name, Generation: 1, CreatePath: true, Browseable: true}
	w.mutate(t, &s)
	return s
}

func (w *world) mutate(t *rapid.T, s *desired.Share) {
	s.Generation++
	switch rapid.IntRange(0, 6).Draw(t, "field") {
	case 0:
		s.ReadOnly = !s.ReadOnly
	case 1:
		s.ValidUsers = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"u0", "u1", "u2", "@g"}), 0, 3, rapid.ID[string]).Draw(t, "valid")
	case 2:
		s.WriteList = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"u0", "u1"}), 0, 2, rapid.ID[string]).Draw(t, "write")
	case 3:
		s.Comment = rapid.SampledFrom([]string{"", "a", "b", "bad\nguest ok = yes"}).Draw(t, "comment")
	case 4:
		s.Path = rapid.SampledFrom([]string{"", root + "/p1", root + "/p1/below", root + "/p2", "/etc", root}).Draw(t, "path")
	case 5:
		s.Parameters = map[string]string{"hosts allow": rapid.SampledFrom([]string{"10.", "192.168."}).Draw(t, "hosts")}
	case 6:
		s.Parameters = map[string]string{rapid.SampledFrom([]string{"no such parameter", "root preexec", "hide dot files"}).Draw(t, "key"): "yes"}
	}
}

var names = []string{"a", "b", "c", "d", "e", "f", "g", "h"}

func (w *world) step(t *rapid.T) {
	name := rapid.SampledFrom(names).Draw(t, "name")
	switch op := rapid.SampledFrom([]string{"create", "create", "create", "change", "change", "delete", "recreate", "case", "user", "noUser",
		"hand", "unhand", "drift", "connect", "connect", "restore", "confirm", "wipe", "forget"}).Draw(t, "op"); op {
	case "create":
		if _, ok := w.shares[name]; !ok {
			w.shares[name] = w.share(t, name)
		}
	case "change":
		if s, ok := w.shares[name]; ok {
			w.mutate(t, &s)
			w.shares[name] = s
		}
	case "delete":
		delete(w.shares, name)
	case "recreate":
		w.shares[name] = w.share(t, name)
	case "case":
		if s, ok := w.shares[name]; ok {
			s.Generation++
			s.Name = rapid.SampledFrom([]string{name, "A" + name[1:]}).Draw(t, "spelling")
			if samba.FoldName(s.Name) == name {
				w.shares[name] = s
			}
		}
	case "user":
		n := rapid.IntRange(0, 3).Draw(t, "user")
		w.users[fmt.Sprintf("u%d", n)] = desired.User{UID: fmt.Sprint("user", n), Name: fmt.Sprintf("u%d", n), ID: desired.FirstUserID + n, Enabled: true,
			NTHash: fmt.Sprintf("%032X", rapid.IntRange(1, 3).Draw(t, "hash"))}
	case "noUser":
		delete(w.users, fmt.Sprintf("u%d", rapid.IntRange(0, 3).Draw(t, "user")))
	case "hand":
		if _, ours := w.section(name); !ours {
			s := samba.Section{Name: name, Params: map[string]string{"path": "/by/hand", "comment": fmt.Sprint(rapid.Int().Draw(t, "c"))}}
			w.fake.SetForeign(s)
			w.byHand[name] = s
		}
	case "unhand":
		if _, ok := w.byHand[name]; ok {
			w.fake.DeleteForeign(name)
			delete(w.byHand, name)
			delete(w.fake.Connected, name)
		}
	case "drift": // someone edits one of ours
		if s, ours := w.section(name); ours {
			s.Params["comment"] = "edited by hand"
			s.Params["strange"] = "yes"
			w.fake.SetForeign(s)
		}
	case "connect":
		if _, ours := w.section(name); ours {
			w.fake.Connect(name)
		}
	case "restore": // the control plane comes back from a backup, with less in it than it had
		w.snap.Revision.Epoch += "'"
		for _, n := range names {
			if rapid.Bool().Draw(t, "lost") {
				delete(w.shares, n)
			}
		}
	case "confirm":
		w.snap.ConfirmedEpoch, w.snap.ConfirmedNumber = w.snap.Revision.Epoch, w.snap.Revision.Number+1
	case "wipe": // passdb and NSS entries are lost
		st, _ := w.fake.Observe(context.Background())
		var gone []string
		for _, u := range st.Accounts.Users {
			gone = append(gone, u.Name)
		}
		_ = w.fake.SyncAccounts(context.Background(), samba.AccountChange{RemoveUsers: gone})
	case "forget": // the agent's memory is lost
		w.epoch = ""
	}
	w.snap.Revision.Number++
}

func (w *world) section(name string) (samba.Section, bool) {
	st, _ := w.fake.Observe(context.Background())
	for _, s := range st.Sections {
		if samba.FoldName(s.Name) == name {
			return s, s.ID != ""
		}
	}
	return samba.Section{}, false
}

func TestRandomHistories(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{fake: sambatest.NewFake(root), shares: map[string]desired.Share{}, users: map[string]desired.User{}, byHand: map[string]samba.Section{}}
		w.snap.Revision = desired.Revision{Epoch: "e", Number: 1}
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			w.step(t)
			if !rapid.Bool().Draw(t, "pass") {
				continue // events get lost
			}
			before := w.marked()
			stranger := w.epoch != "" && w.epoch != w.snap.Revision.Epoch && w.snap.ConfirmedEpoch != w.snap.Revision.Epoch
			r, dead := w.pass(t, rapid.IntRange(0, 6).Draw(t, "kill at"), rapid.Bool().Draw(t, "after"))
			w.keepsPromises(t)
			if stranger || !dead && r.Hold != nil {
				now := w.marked()
				for id, s := range before {
					if _, ok := now[id]; !ok {
						t.Fatalf("%s was removed while removals are held", s.Name)
					}
				}
			}
		}
		w.settle(t)
		// Once a person has confirmed, nothing may be held.
		w.snap.ConfirmedEpoch, w.snap.ConfirmedNumber = w.snap.Revision.Epoch, w.snap.Revision.Number
		if r := w.settle(t); r.Hold != nil || len(r.Held) > 0 || len(r.HeldUsers) > 0 {
			t.Fatalf("still held after confirmation: %+v", r.Hold)
		}
	})
}

// settle lets two passes run and checks the third, which must do nothing.
func (w *world) settle(t *rapid.T) Result {
	w.pass(t, 0, false)
	w.pass(t, 0, false)
	writes := w.fake.Writes
	r, _ := w.pass(t, 0, false)
	if len(r.Steps) > 0 || w.fake.Writes != writes {
		t.Fatalf("the third pass still does %+v", r.Steps)
	}
	w.keepsPromises(t)
	w.converged(t, r)
	return r
}
