package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pve-smb-gateway/smbgw/internal/desired"
	"github.com/pve-smb-gateway/smbgw/internal/samba"
	"github.com/pve-smb-gateway/smbgw/internal/samba/sambatest"
)

var update = flag.Bool("update", false, "write the golden files")

func share(name string, change ...func(*desired.Share)) desired.Share {
	s := desired.Share{UID: "uid-" + name, Name: name, Generation: 1, Browseable: true, CreatePath: true}
	for _, c := range change {
		c(&s)
	}
	return s
}

func served(s desired.Share) samba.Section {
	section, p := Render(s, testNode)
	if p != nil {
		panic(p.Message)
	}
	return section
}

// settled returns the accounts that an empty snapshot asks for.
func settled() samba.Accounts {
	p := &planner{in: Input{Snapshot: &desired.Snapshot{}, Node: testNode}}
	return samba.Accounts{Users: p.reserved(), Groups: []samba.Group{{Name: desired.OwnerName, ID: desired.OwnerID}}}
}

func snapshot(shares ...desired.Share) *desired.Snapshot {
	return &desired.Snapshot{Revision: desired.Revision{Epoch: "e1", Number: 7}, Shares: shares}
}

func many(n int) (shares []desired.Share, sections []samba.Section) {
	for i := range n {
		s := share(fmt.Sprintf("share%04d", i), func(s *desired.Share) { s.ValidUsers = []string{"alice", "@staff"} })
		shares = append(shares, s)
		sections = append(sections, served(s))
	}
	return shares, sections
}

func TestPlanGolden(t *testing.T) {
	_, ten := many(10)
	tenShares, _ := many(10)
	narrowed := share("data", func(s *desired.Share) { s.Generation = 2; s.ValidUsers = []string{"alice"} })
	for name, in := range map[string]Input{
		"first": {Snapshot: &desired.Snapshot{Revision: desired.Revision{Epoch: "e1", Number: 1},
			Shares: []desired.Share{share("data")},
			Users:  []desired.User{{UID: "u", Name: "alice", ID: 20000, Enabled: true, NTHash: testNode.StrangerHash, PasswordSetAt: time.Unix(1, 0)}},
			Groups: []desired.Group{{UID: "g", Name: "staff", ID: 50000, Members: []string{"alice"}}}},
			Facts: map[string]samba.Fact{"data": {Path: root + "/data", Missing: true}}},
		"nothing to do": {Snapshot: snapshot(share("data")), LastEpoch: "e1",
			Observed: samba.State{Sections: []samba.Section{served(share("data"))}, Accounts: settled()}},
		"narrowed": {Snapshot: snapshot(narrowed), LastEpoch: "e1",
			Observed: samba.State{Sections: []samba.Section{served(share("data"))}, Accounts: settled()}},
		"widened": {Snapshot: snapshot(share("data")), LastEpoch: "e1",
			Observed: samba.State{Sections: []samba.Section{served(narrowed)}, Accounts: settled()}},
		"removed": {Snapshot: snapshot(), LastEpoch: "e1",
			Observed: samba.State{Sections: []samba.Section{served(share("data"))}, Accounts: settled()}},
		"same name, other uid": {Snapshot: snapshot(share("data", func(s *desired.Share) { s.UID = "uid-new" })), LastEpoch: "e1",
			Observed: samba.State{Sections: []samba.Section{served(share("data"))}, Accounts: settled()}},
		"foreign section": {Snapshot: snapshot(share("Data"), share("other")), LastEpoch: "e1",
			Observed: samba.State{Sections: []samba.Section{{Name: "data", Params: map[string]string{"path": "/x"}}}, Accounts: settled()}},
		"epoch hold": {Snapshot: snapshot(share("new"), share("b", func(s *desired.Share) { s.UID = "uid-b2" })), LastEpoch: "e0",
			Observed: samba.State{Sections: []samba.Section{served(share("a")), served(share("b"))}, Accounts: settled()}},
		"epoch confirmed": {Snapshot: func() *desired.Snapshot { s := snapshot(); s.ConfirmedEpoch = "e1"; return s }(), LastEpoch: "e0",
			Observed: samba.State{Sections: []samba.Section{served(share("a"))}, Accounts: settled()}},
		"mass hold":  {Snapshot: snapshot(tenShares[:5]...), LastEpoch: "e1", Observed: samba.State{Sections: ten, Accounts: settled()}},
		"not a mass": {Snapshot: snapshot(tenShares[:6]...), LastEpoch: "e1", Observed: samba.State{Sections: ten, Accounts: settled()}},
		"mass confirmed": {Snapshot: func() *desired.Snapshot {
			s := snapshot(tenShares[:5]...)
			s.ConfirmedEpoch, s.ConfirmedNumber = "e1", 7
			return s
		}(), LastEpoch: "e1", Observed: samba.State{Sections: ten, Accounts: settled()}},
		"problems": {Snapshot: snapshot(share("bad\nname"), share("IPC$"), share("in", func(s *desired.Share) { s.Path = root + "/p/in" }),
			share("out", func(s *desired.Share) { s.Path = root + "/p" }), share("gone"), share("x", func(s *desired.Share) { s.Comment = "50%" })),
			LastEpoch: "e1", Observed: samba.State{Accounts: settled()},
			Facts: map[string]samba.Fact{"gone": {Problem: problem("share.path_missing", "Create it.")}}},
		"accounts": {Snapshot: &desired.Snapshot{Revision: desired.Revision{Epoch: "e1", Number: 1}, Users: []desired.User{
			{UID: "1", Name: "root", ID: 20000}, {UID: "2", Name: "Mallory:0", ID: 20001}, {UID: "3", Name: "low", ID: 0},
			{UID: "4", Name: "twin", ID: 20002}, {UID: "5", Name: "twin2", ID: 20002}, {UID: "6", Name: desired.OwnerName, ID: 20003},
			{UID: "7", Name: "hash", ID: 20004, NTHash: "x:y"}}}, LastEpoch: "e1",
			Observed: samba.State{Accounts: samba.Accounts{Users: append(settled().Users, samba.User{Name: "old", ID: 20009}), Groups: settled().Groups},
				Taken: samba.Taken{Users: map[string]bool{"root": true}}}},
	} {
		t.Run(name, func(t *testing.T) {
			in.Node = testNode
			plan := Make(in)
			got, err := json.MarshalIndent(plan, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", strings.NewReplacer(" ", "_", ",", "").Replace(name)+".json")
			if *update {
				if err := os.WriteFile(file, append(got, '\n'), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), string(got)+"\n"); d != "" {
				t.Errorf("plan (-want +got):\n%s", d)
			}
			for _, o := range plan.Outcomes {
				if o.Problem != nil && (o.Problem.Reason == "" || !strings.HasSuffix(o.Problem.Message, ".")) {
					t.Errorf("%s: a problem has to say what to do: %+v", o.Name, o.Problem)
				}
			}
		})
	}
}

func TestRenderRefuses(t *testing.T) {
	for what, s := range map[string]desired.Share{
		"empty name":       share(""),
		"long name":        share(strings.Repeat("n", 81)),
		"newline name":     share("a\n[global]"),
		"bracket name":     share("a]b"),
		"macro name":       share("%U"),
		"slash name":       share("a/b"),
		"dots":             share(".."),
		"space at end":     share("a "),
		"dash":             share("-a"),
		"global":           share("GLOBAL"),
		"homes":            share("Homes"),
		"printers":         share("printers"),
		"IPC$":             share("IPC$"),
		"not UTF-8":        share("a\xff"),
		"relative path":    share("a", func(s *desired.Share) { s.Path = "srv/a" }),
		"dots in path":     share("a", func(s *desired.Share) { s.Path = "/srv/../etc" }),
		"macro in path":    share("a", func(s *desired.Share) { s.Path = "/srv/%U" }),
		"newline in path":  share("a", func(s *desired.Share) { s.Path = "/srv/a\n\tguest ok = yes" }),
		"quote in path":    share("a", func(s *desired.Share) { s.Path = `/srv/"a"` }),
		"comment newline":  share("a", func(s *desired.Share) { s.Comment = "x\nguest ok = yes" }),
		"comment macro":    share("a", func(s *desired.Share) { s.Comment = "%$(HOME)" }),
		"user newline":     share("a", func(s *desired.Share) { s.ValidUsers = []string{"x\ny"} }),
		"user list":        share("a", func(s *desired.Share) { s.ValidUsers = []string{"x,root"} }),
		"user quote":       share("a", func(s *desired.Share) { s.WriteList = []string{`x" root "`} }),
		"user plus":        share("a", func(s *desired.Share) { s.ReadList = []string{"+wheel"} }),
		"user macro":       share("a", func(s *desired.Share) { s.ReadList = []string{"%S"} }),
		"no user":          share("a", func(s *desired.Share) { s.ReadList = []string{"@"} }),
		"param exec":       share("a", func(s *desired.Share) { s.Parameters = map[string]string{"Root  PreExec": "id"} }),
		"param spelling":   share("a", func(s *desired.Share) { s.Parameters = map[string]string{"forceuser": "root"} }),
		"param synonym":    share("a", func(s *desired.Share) { s.Parameters = map[string]string{"public": "yes"} }),
		"param marker":     share("a", func(s *desired.Share) { s.Parameters = map[string]string{"smbgw:id": "x"} }),
		"param newline":    share("a", func(s *desired.Share) { s.Parameters = map[string]string{"hosts allow": "a\nguest ok = yes"} }),
		"param key":        share("a", func(s *desired.Share) { s.Parameters = map[string]string{"x = y\nz": "a"} }),
		"param continues":  share("a", func(s *desired.Share) { s.Parameters = map[string]string{"hosts allow": `a\`} }),
		"param include":    share("a", func(s *desired.Share) { s.Parameters = map[string]string{"include": "/etc/passwd"} }),
		"param copy":       share("a", func(s *desired.Share) { s.Parameters = map[string]string{"copy": "hand"} }),
		"comment too long": share("a", func(s *desired.Share) { s.Comment = strings.Repeat("c", 1<<17) }),
	} {
		if section, p := Render(s, testNode); p == nil {
			t.Errorf("%s: rendered as %+v", what, section)
		}
	}
}

// FuzzRender holds that whatever a spec says, the section is refused or is one that drivers take.
func FuzzRender(f *testing.F) {
	f.Add("data", "/srv/shares/data", "a comment", "alice", "hosts allow", "10.0.0.0/8")
	f.Add("a]\n[b", "/srv/%U", "x\\", "@g h", "root preexec", "id")
	f.Fuzz(func(t *testing.T, name, dir, comment, user, key, value string) {
		section, p := Render(desired.Share{UID: "u", Name: name, Path: dir, Comment: comment, ValidUsers: []string{user},
			Parameters: map[string]string{key: value}}, testNode)
		if p != nil {
			return
		}
		if err := section.Validate(); err != nil {
			t.Errorf("rendered, but %v", err)
		}
		if section.Params["force user"] != desired.OwnerName || section.Params["path"] == "" {
			t.Errorf("overridden: %+v", section)
		}
	})
}

// TestOneBadSectionDoesNotStopTheOthers: Samba refuses a batch; the pass finds which one it is.
func TestOneBadSectionDoesNotStopTheOthers(t *testing.T) {
	fake := sambatest.NewFake(root)
	shares, _ := many(20)
	d := refusing{fake, "share0013"}
	r, err := Pass(t.Context(), d, snapshot(shares...), Options{Node: testNode})
	if err == nil {
		t.Error("the pass tells of no failure")
	}
	st, _ := fake.Observe(t.Context())
	if len(st.Sections) != 19 {
		t.Errorf("%d sections, want 19", len(st.Sections))
	}
	for _, o := range r.Outcomes {
		if bad := o.Name == "share0013"; bad != (o.Problem != nil) || bad && o.Problem.Reason != "share.not_written" {
			t.Errorf("%s: %+v", o.Name, o.Problem)
		}
	}
}

// TestCloseFails: while connections cannot be closed, the node must not forget whose they are.
func TestCloseFails(t *testing.T) {
	fake := sambatest.NewFake(root)
	ctx, o := t.Context(), Options{Node: testNode, LastEpoch: "e1"}
	if _, err := Pass(ctx, fake, snapshot(share("a"), share("b")), o); err != nil {
		t.Fatal(err)
	}
	fake.Connect("a")
	fake.Fault = func(call string, after bool) error {
		if call == "close" {
			return errors.New("smbd does not answer")
		}
		return nil
	}
	if _, err := Pass(ctx, fake, snapshot(share("b")), o); err == nil {
		t.Error("no error")
	}
	if fake.Connect("a") {
		t.Error("a share that is on its way out takes new clients")
	}
	fake.Fault = nil
	if _, err := Pass(ctx, fake, snapshot(share("b")), o); err != nil {
		t.Fatal(err)
	}
	if len(fake.Connected) > 0 {
		t.Error("the client is still connected")
	}
}

type refusing struct {
	*sambatest.Fake
	name string
}

func (r refusing) PutSections(ctx context.Context, sections []samba.Section) error {
	for _, s := range sections {
		if s.Name == r.name {
			return errors.New("no")
		}
	}
	return r.Fake.PutSections(ctx, sections)
}

func BenchmarkPlanOf1000(b *testing.B) {
	shares, sections := many(1000)
	in := Input{Snapshot: snapshot(shares...), Node: testNode, LastEpoch: "e1", Observed: samba.State{Sections: sections, Accounts: settled()}}
	for b.Loop() {
		for _, s := range shares {
			if _, p := Render(s, testNode); p != nil {
				b.Fatal(p)
			}
		}
		if p := Make(in); len(p.Steps) > 0 {
			b.Fatal(p.Steps)
		}
	}
}
