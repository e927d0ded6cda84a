package registry_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/cloudsoda/go-smb2"

	"github.com/pve-smb-gateway/smbgw/internal/desired"
	"github.com/pve-smb-gateway/smbgw/internal/reconcile"
	"github.com/pve-smb-gateway/smbgw/internal/samba"
	"github.com/pve-smb-gateway/smbgw/internal/samba/nthash"
	"github.com/pve-smb-gateway/smbgw/internal/samba/registry"
	"github.com/pve-smb-gateway/smbgw/internal/samba/sambatest"
)

// gateway is a running Samba and a pass over it.
type gateway struct {
	inst *samba.Instance
	d    *registry.Driver
	snap desired.Snapshot
}

func newGateway(t *testing.T) *gateway {
	g := &gateway{inst: sambatest.New(t)}
	if os.Geteuid() != 0 {
		t.Fatal("these tests run smbd, which has to switch users: run them as root")
	}
	g.d = registry.New(g.inst)
	g.snap.Revision = desired.Revision{Epoch: "e", Number: 1}
	for n, name := range []string{"alice", "bob", "carol"} {
		g.snap.Users = append(g.snap.Users, desired.User{UID: name, Name: name, ID: desired.FirstUserID + n, Enabled: true, NTHash: nthash.Sum("pw-" + name)})
	}
	g.snap.Groups = []desired.Group{{UID: "staff", Name: "staff", ID: desired.FirstGroupID, Members: []string{"carol"}}}
	return g
}

func (g *gateway) pass(t *testing.T) reconcile.Result {
	t.Helper()
	r, err := reconcile.Pass(t.Context(), g.d, &g.snap, reconcile.Options{LastEpoch: "e",
		Node: reconcile.Node{ShareRoots: g.inst.ShareRoots, StrangerHash: nthash.Sum("pw-" + desired.StrangerName)}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (g *gateway) login(t *testing.T, user, password string) *smb2.Session {
	t.Helper()
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(g.inst.Port))
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	s, err := (&smb2.Dialer{Initiator: &smb2.NTLMInitiator{User: user, Password: password}}).DialConn(context.Background(), c, address)
	if err != nil {
		return nil
	}
	return s
}

func (g *gateway) may(t *testing.T, user, share string) bool {
	t.Helper()
	s := g.login(t, user, "pw-"+user)
	if s == nil {
		return false
	}
	defer s.Logoff()
	m, err := s.Mount(share)
	if err != nil {
		return false
	}
	defer m.Umount()
	return m.WriteFile("probe-"+user, []byte("x"), 0o600) == nil
}

func TestRealClientsSeeWhatWasPlanned(t *testing.T) {
	g := newGateway(t)
	g.snap.Shares = []desired.Share{
		{UID: "1", Name: "open", Generation: 1, CreatePath: true, Browseable: true},
		{UID: "2", Name: "for alice & staff", Generation: 1, CreatePath: true, ValidUsers: []string{"alice", "@staff"}, Comment: `quote " and ; and #`},
		{UID: "3", Name: "Größe", Generation: 1, CreatePath: true, ReadOnly: true, WriteList: []string{"bob"}, Parameters: map[string]string{"vfs objects": "recycle", "recycle:repository": ".recycle/%U"}},
		{UID: "4", Name: "bad", Generation: 1, CreatePath: true, Parameters: map[string]string{"no such parameter": "yes"}},
	}
	r := g.pass(t)
	for _, o := range r.Outcomes {
		if (o.Name == "bad") != (o.Problem != nil) {
			t.Errorf("%s: %+v", o.Name, o.Problem)
		}
	}
	if r := g.pass(t); len(r.Steps) > 0 {
		t.Errorf("the second pass does %+v", r.Steps)
	}
	sambatest.Start(t, g.inst)
	for _, c := range []struct {
		user, share string
		may         bool
	}{
		{"alice", "open", true}, {"bob", "open", true}, {desired.StrangerName, "open", false},
		{"alice", "for alice & staff", true}, {"bob", "for alice & staff", false}, {"carol", "for alice & staff", true},
		{desired.StrangerName, "for alice & staff", false},
		{"alice", "größe", false}, {"bob", "größe", true}, {"alice", "bad", false}, {desired.OwnerName, "open", false}, {"root", "open", false}, {"", "open", false},
	} {
		if got := g.may(t, c.user, c.share); got != c.may {
			t.Errorf("%s may write to %s: %t, want %t", c.user, c.share, got, c.may)
		}
	}
	// While smbd runs: a disabled user, a new password, a removed user.
	g.snap.Users[0].Enabled = false
	g.snap.Users[1].NTHash = nthash.Sum("changed")
	g.snap.Users = g.snap.Users[:2]
	g.pass(t)
	if g.may(t, "alice", "open") || g.may(t, "bob", "open") || g.may(t, "carol", "open") {
		t.Error("a disabled user, an old password or a removed user still gets in")
	}
	if g.login(t, "bob", "changed") == nil {
		t.Error("the new password is not taken")
	}
}

// TestRevokedClientsAreOut: a client that is connected, and stays so, loses what the change took from it, at once, and
// cannot come back by a share that its smbd remembers.
func TestRevokedClientsAreOut(t *testing.T) {
	for what, change := range map[string]func(g *gateway){
		"removed":     func(g *gateway) { g.snap.Shares = g.snap.Shares[:0] },
		"valid users": func(g *gateway) { g.snap.Shares[0].ValidUsers = []string{"bob"} },
		"replaced": func(g *gateway) {
			g.snap.Shares[0].UID, g.snap.Shares[0].ValidUsers = "9", []string{"bob"}
		},
		"read only": func(g *gateway) { g.snap.Shares[0].ReadOnly = true },
	} {
		t.Run(what, func(t *testing.T) {
			g := newGateway(t)
			g.snap.Shares = []desired.Share{{UID: "1", Name: "data", Generation: 1, CreatePath: true}, {UID: "2", Name: "other", Generation: 1, CreatePath: true}}
			g.pass(t)
			sambatest.Start(t, g.inst)
			s := g.login(t, "alice", "pw-alice")
			if s == nil {
				t.Fatal("alice cannot log in")
			}
			data, err := s.Mount("data")
			must(t, err)
			other, err := s.Mount("other")
			must(t, err, data.WriteFile("f", []byte("x"), 0o600), other.WriteFile("f", []byte("x"), 0o600))

			// Another client was there and has left the share, not the session: its smbd remembers the share.
			s2 := g.login(t, "alice", "pw-alice")
			left, err := s2.Mount("data")
			must(t, err, left.WriteFile("h", []byte("x"), 0o600), left.Umount())

			g.snap.Shares[0].Generation++
			other1 := g.snap.Shares[1]
			change(g)
			if len(g.snap.Shares) == 0 {
				g.snap.Shares = []desired.Share{other1}
			}
			g.pass(t)

			if err := data.WriteFile("g", []byte("x"), 0o600); err == nil {
				t.Error("the connected client still writes")
			}
			for _, session := range []*smb2.Session{s, s2} {
				if again, err := session.Mount("data"); err == nil {
					if err := again.WriteFile("g", []byte("x"), 0o600); err == nil {
						t.Error("a client came back in the same session, and writes")
					}
				}
			}
			if err := other.WriteFile("g", []byte("x"), 0o600); err != nil {
				t.Errorf("another share was closed as well: %v", err)
			}
			if r := g.pass(t); len(r.Steps) > 0 {
				t.Errorf("the second pass does %+v", r.Steps)
			}
		})
	}
}

// TestWidenedForConnectedClients: who was refused before gets in by the same session once the share allows it.
func TestWidenedForConnectedClients(t *testing.T) {
	g := newGateway(t)
	g.snap.Shares = []desired.Share{{UID: "1", Name: "data", Generation: 1, CreatePath: true, ValidUsers: []string{"bob"}}}
	g.pass(t)
	sambatest.Start(t, g.inst)
	s := g.login(t, "alice", "pw-alice")
	if _, err := s.Mount("data"); err == nil {
		t.Fatal("alice may use bob's share")
	}
	g.snap.Shares[0].ValidUsers = []string{"alice", "bob"}
	g.snap.Shares[0].Generation++
	g.pass(t)
	// smbd reads its messages when it comes to it.
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		_, err := s.Mount("data")
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("alice is still refused: %v", err)
		}
	}
}

// TestCutOffAnywhere ends passes at random moments, Samba's programs included, and holds that the next one mends it.
func TestCutOffAnywhere(t *testing.T) {
	g := newGateway(t)
	by := samba.Section{Name: "hand", Params: map[string]string{"path": "/by/hand"}}
	run(t, g.inst, "net", "conf", "setparm", "hand", "path", "/by/hand")
	o := reconcile.Options{LastEpoch: "e", Node: reconcile.Node{ShareRoots: g.inst.ShareRoots, StrangerHash: nthash.Sum("s")}}
	random := rand.New(rand.NewPCG(1, 2))
	cut := 0
	for round := range 6 {
		g.snap.Shares = nil
		for n := range 30 {
			if random.IntN(3) > 0 {
				g.snap.Shares = append(g.snap.Shares, desired.Share{UID: fmt.Sprintf("uid-%d-%d", n, random.IntN(2)), Name: fmt.Sprint("s", n), Generation: int64(round),
					CreatePath: true, ReadOnly: random.IntN(2) > 0})
			}
		}
		g.snap.Users[0].Enabled = round%2 == 0
		g.snap.ConfirmedEpoch, g.snap.ConfirmedNumber = "e", 1
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.IntN(700))*time.Millisecond)
			if _, err := reconcile.Pass(ctx, g.d, &g.snap, o); err != nil {
				cut++
			}
			cancel()
		}
		g.d = registry.New(g.inst) // the agent was killed as well
		for range 2 {
			if _, err := reconcile.Pass(t.Context(), g.d, &g.snap, o); err != nil {
				t.Fatal(err)
			}
		}
		g.d = registry.New(g.inst) // what counts is what is there, not what was written
		r, err := reconcile.Pass(t.Context(), g.d, &g.snap, o)
		if err != nil || len(r.Steps) > 0 {
			t.Fatalf("round %d does not come to rest: %v %+v", round, err, r.Steps)
		}
		st, err := g.d.Observe(t.Context())
		must(t, err)
		if len(st.Sections) != len(g.snap.Shares)+1 {
			t.Errorf("round %d: %d sections, want %d", round, len(st.Sections), len(g.snap.Shares)+1)
		}
		if !slices.ContainsFunc(st.Sections, by.Equal) {
			t.Errorf("round %d: the section made by hand is gone or changed", round)
		}
	}
	t.Logf("%d passes were cut off", cut)
	if cut == 0 {
		t.Error("no pass was cut off: the test shows nothing")
	}
	left, err := filepath.Glob(g.inst.PrivateDir() + "/import*")
	must(t, err)
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
