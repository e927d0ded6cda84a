package sambatest

import (
	"context"
	"errors"
	"maps"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pve-smb-gateway/smbgw/internal/desired"
	"github.com/pve-smb-gateway/smbgw/internal/samba"
)

// Fixture is one fresh Samba without shares, and the hands of an administrator on it.
type Fixture struct {
	Driver samba.Driver
	// Afresh returns a driver of the same Samba that remembers nothing: what the other believes must be what is there.
	Afresh func() samba.Driver
	// Root is the only share root; it exists and is empty.
	Root string
	// SetForeign writes a section behind the driver's back, whole; DeleteForeign removes one.
	SetForeign    func(s samba.Section)
	DeleteForeign func(name string)
}

// Conformance runs the suite; fresh is called for every test.
func Conformance(t *testing.T, fresh func(t *testing.T) Fixture) {
	for name, test := range map[string]func(*testing.T, Fixture){
		"sections round trip": roundTrip, "put replaces": putReplaces, "foreign sections": foreignSections,
		"outside change": outsideChange, "injection": injection, "accounts": accounts, "account injection": accountInjection, "paths": paths,
		"checks": checks, "cut off": cutOff, "close": closeShares,
	} {
		t.Run(name, func(t *testing.T) { test(t, fresh(t)) })
	}
}

func section(name, id string, params ...string) samba.Section {
	s := samba.Section{Name: name, ID: id, Generation: 1, Params: map[string]string{"path": "/nowhere"}}
	for n := 0; n+1 < len(params); n += 2 {
		s.Params[params[n]] = params[n+1]
	}
	return s
}

func (f Fixture) observe(t *testing.T) samba.State {
	t.Helper()
	st, err := f.Driver.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// sees fails unless exactly these sections are there.
func (f Fixture) sees(t *testing.T, want ...samba.Section) {
	t.Helper()
	exp := map[string]samba.Section{}
	for _, s := range want {
		exp[s.Name] = s
	}
	look := func(who string, f Fixture) {
		t.Helper()
		got := map[string]samba.Section{}
		for _, s := range f.observe(t).Sections {
			got[s.Name] = s
		}
		if d := cmp.Diff(exp, got); d != "" {
			t.Errorf("sections as %s sees them (-want +got):\n%s", who, d)
		}
	}
	look("the driver", f)
	look("a driver that remembers nothing", Fixture{Driver: f.Afresh()})
}

func (f Fixture) put(t *testing.T, s ...samba.Section) {
	t.Helper()
	if err := f.Driver.PutSections(t.Context(), s); err != nil {
		t.Fatal(err)
	}
}

func roundTrip(t *testing.T, f Fixture) {
	f.sees(t)
	want := []samba.Section{
		section("plain", "1"),
		section("with space", "2", "comment", `a; b # c = d [e] \ "quoted" ü 漢 😀`),
		section("Größe", "3", "valid users", `alice "bob b" @staff`, "read only", "no"),
		section("hidden$", "4", "smb encrypt", "required", "fruit:time machine", "yes"),
		section("a.b-c_d (1)", "5", "comment", "[x]"),
	}
	want[1].Closing = true
	want[2].Generation = 1 << 40
	f.put(t, want...)
	f.sees(t, want...)
	f.put(t, want...)
	f.sees(t, want...)
	for n := 0; n < 2; n++ {
		if err := f.Driver.RemoveSections(t.Context(), []string{"PLAIN", "hidden$", "absent"}); err != nil {
			t.Fatal(err)
		}
		f.sees(t, want[1], want[2], want[4])
	}
	f.put(t)
}

func putReplaces(t *testing.T, f Fixture) {
	f.put(t, section("s", "1", "comment", "old", "read only", "no"), section("t", "2"))
	next := section("s", "9", "browseable", "no")
	f.put(t, next)
	f.sees(t, next, section("t", "2"))
	// Samba ignores case: it is the same section under another spelling.
	upper := section("S", "9", "browseable", "yes")
	f.put(t, upper)
	f.sees(t, upper, section("t", "2"))
}

func foreignSections(t *testing.T, f Fixture) {
	hand := samba.Section{Name: "Hand", Params: map[string]string{"path": "/srv/hand", "comment": "do not touch"}}
	f.SetForeign(hand)
	f.put(t, section("ours", "1"))
	f.sees(t, hand, section("ours", "1"))
	err := f.Driver.PutSections(t.Context(), []samba.Section{section("new", "2"), section("hand", "3")})
	if !errors.Is(err, samba.ErrForeign) {
		t.Errorf("PutSections over a foreign section: %v", err)
	}
	if err := f.Driver.RemoveSections(t.Context(), []string{"ours", "hand"}); !errors.Is(err, samba.ErrForeign) {
		t.Errorf("RemoveSections of a foreign section: %v", err)
	}
	f.sees(t, hand, section("ours", "1")) // all or none
}

func outsideChange(t *testing.T, f Fixture) {
	f.put(t, section("s", "1", "comment", "ours"))
	f.sees(t, section("s", "1", "comment", "ours"))
	f.observe(t) // from a cache, if there is one
	changed := section("s", "1", "comment", "theirs")
	f.SetForeign(changed)
	f.sees(t, changed)
	f.DeleteForeign("s")
	f.sees(t)
}

func injection(t *testing.T, f Fixture) {
	good := section("s", "1")
	f.put(t, good)
	for what, bad := range map[string]samba.Section{
		"newline in value":   section("x", "2", "comment", "a\nguest ok = yes"),
		"return in value":    section("x", "2", "comment", "a\rguest ok = yes"),
		"NUL":                section("x", "2", "comment", "a\x00b"),
		"line separator":     section("x", "2", "comment", "a\u2028b"),
		"not UTF-8":          section("x", "2", "comment", "a\xffb"),
		"backslash at end":   section("x", "2", "comment", `a\`),
		"newline in key":     section("x", "2", "comment\n[y]", "a"),
		"= in key":           section("x", "2", "guest ok = yes #", "a"),
		"quote in key":       section("x", "2", `a"="b`, "a"),
		"marker as key":      section("x", "2", "smbgw:id", "7"),
		"upper case key":     section("x", "2", "Comment", "a"),
		"bracket in name":    section("x]\n[y", "2"),
		"key path in name":   section(`..\..\x`, "2"),
		"global":             section("Global", "2"),
		"empty name":         section("", "2"),
		"option as name":     section("-x", "2"),
		"macro in name":      section("%U", "2"),
		"no marker":          section("x", ""),
		"marker with a line": section("x", "1\n2"),
	} {
		if err := f.Driver.PutSections(t.Context(), []samba.Section{section("y", "3"), bad}); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
	f.sees(t, good)
}

const (
	hashA = "8846F7EAEE8FB117AD06BDD830B7586C"
	hashB = "0CB6948805F797BF2A82807973B89537"
)

func accounts(t *testing.T, f Fixture) {
	alice := samba.User{Name: "alice", ID: 20001, FullName: "Alice Ä. Example", NTHash: hashA, Enabled: true}
	bob := samba.User{Name: "bob", ID: 20002} // no password yet
	carol := samba.User{Name: "carol.c", ID: 49999, NTHash: hashB}
	owner := samba.User{Name: desired.OwnerName, ID: desired.OwnerID}
	staff := samba.Group{Name: "staff-x", ID: desired.FirstGroupID, Members: []string{"alice", "bob"}}
	apply := func(c samba.AccountChange) {
		t.Helper()
		for range 2 { // again is as once
			if err := f.Driver.SyncAccounts(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
	}
	sees := func(users []samba.User, groups []samba.Group) {
		t.Helper()
		if d := cmp.Diff(samba.Accounts{Users: users, Groups: groups}, f.observe(t).Accounts); d != "" {
			t.Errorf("accounts (-want +got):\n%s", d)
		}
	}
	st := f.observe(t)
	if !st.Taken.Users["root"] || !st.Taken.UserIDs[0] || !st.Taken.Groups["nogroup"] || !st.Taken.GroupIDs[65534] {
		t.Errorf("the machine's own accounts are not seen: %+v", st.Taken)
	}
	sees(nil, nil)
	apply(samba.AccountChange{PutUsers: []samba.User{alice, bob, carol, owner}, PutGroups: []samba.Group{staff}})
	sees([]samba.User{alice, bob, carol, owner}, []samba.Group{staff})
	if f.observe(t).Taken.Users["alice"] {
		t.Error("our own user counts as the machine's")
	}

	alice.Enabled = false
	bob.NTHash, bob.Enabled, bob.FullName = hashB, true, "Bob"
	carol.Enabled = true
	staff.Members = []string{"carol.c"}
	apply(samba.AccountChange{PutUsers: []samba.User{alice, bob, carol}, PutGroups: []samba.Group{staff}})
	sees([]samba.User{alice, bob, carol, owner}, []samba.Group{staff})

	alice.Enabled, alice.NTHash = true, hashB
	bob.NTHash, bob.Enabled = "", false
	carol.ID = 20003 // another incarnation of the same name
	apply(samba.AccountChange{PutUsers: []samba.User{alice, bob, carol}})
	sees([]samba.User{alice, bob, carol, owner}, []samba.Group{staff})

	apply(samba.AccountChange{RemoveUsers: []string{"alice", "bob", "absent"}, RemoveGroups: []string{"staff-x", "absent"}})
	sees([]samba.User{carol, owner}, nil)
	apply(samba.AccountChange{PutUsers: []samba.User{alice}})
	sees([]samba.User{alice, carol, owner}, nil)
}

func accountInjection(t *testing.T, f Fixture) {
	for what, c := range map[string]samba.AccountChange{
		"colon in name":       {PutUsers: []samba.User{{Name: "x:0:0", ID: 20000}}},
		"newline in name":     {PutUsers: []samba.User{{Name: "x\ny", ID: 20000}}},
		"empty name":          {PutUsers: []samba.User{{Name: "", ID: 20000}}},
		"root's id":           {PutUsers: []samba.User{{Name: "x", ID: 0}}},
		"colon in full name":  {PutUsers: []samba.User{{Name: "x", ID: 20000, FullName: "a:b"}}},
		"line in full name":   {PutUsers: []samba.User{{Name: "x", ID: 20000, FullName: "a\nroot2:x:0:0::/:/bin/sh"}}},
		"hash that is none":   {PutUsers: []samba.User{{Name: "x", ID: 20000, NTHash: "A:[N]"}}},
		"line in group":       {PutGroups: []samba.Group{{Name: "x\ny", ID: 50000}}},
		"newline in a member": {PutGroups: []samba.Group{{Name: "x", ID: 50000, Members: []string{"a\nb"}}}},
		"comma in a member":   {PutGroups: []samba.Group{{Name: "x", ID: 50000, Members: []string{"a,b"}}}},
	} {
		c.PutUsers = append(c.PutUsers, samba.User{Name: "innocent", ID: 20001, NTHash: hashA, Enabled: true})
		if err := f.Driver.SyncAccounts(t.Context(), c); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
	if got := f.observe(t).Accounts; len(got.Users)+len(got.Groups) > 0 {
		t.Errorf("something was written: %+v", got)
	}
}

func paths(t *testing.T, f Fixture) {
	dir := filepath.Join(f.Root, "made")
	cand := []samba.Candidate{{Section: section("s", "1", "path", dir), CreatePath: true}}
	fact := func(name string) samba.Fact {
		t.Helper()
		facts, err := f.Driver.Check(t.Context(), cand)
		if err != nil {
			t.Fatal(err)
		}
		return facts[name]
	}
	if got := fact("s"); !got.Missing || got.Problem != nil {
		t.Errorf("before: %+v", got)
	}
	cand[0].CreatePath = false
	if got := fact("s"); got.Problem == nil || got.Problem.Reason != "share.path_missing" || got.Problem.Message == "" {
		t.Errorf("without CreatePath: %+v", got)
	}
	for range 2 {
		if err := f.Driver.EnsurePath(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
	}
	if got := fact("s"); got.Missing || got.Problem != nil || got.Path == "" {
		t.Errorf("after: %+v", got)
	}
	for _, bad := range []string{f.Root, filepath.Dir(f.Root), "/etc/smbgw-nope", "relative", f.Root + "/../x", ""} {
		if err := f.Driver.EnsurePath(t.Context(), bad); err == nil {
			t.Errorf("EnsurePath(%q) succeeded", bad)
		}
	}
}

func checks(t *testing.T, f Fixture) {
	dir := filepath.Join(f.Root, "d")
	if err := f.Driver.EnsurePath(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"good": "", "good vfs": "", "etc": "share.path_outside_roots", "root": "share.path_is_root", "slash": "share.path_is_root",
		"relative": "share.path_invalid", "dots": "share.path_invalid", "missing": "share.path_missing",
		"module": "share.vfs_module_missing", "parameter": "share.parameter_invalid",
	}
	cand := []samba.Candidate{
		{Section: section("good", "1", "path", dir)},
		{Section: section("good vfs", "1", "path", dir, "vfs objects", "recycle")},
		{Section: section("etc", "1", "path", "/etc")},
		{Section: section("root", "1", "path", f.Root)},
		{Section: section("slash", "1", "path", "/")},
		{Section: section("relative", "1", "path", "srv")},
		{Section: section("dots", "1", "path", f.Root+"/../etc")},
		{Section: section("missing", "1", "path", f.Root+"/missing")},
		{Section: section("module", "1", "path", dir, "vfs objects", "recycle no_such")},
		{Section: section("parameter", "1", "path", dir, "no such parameter", "yes")},
	}
	before := f.observe(t)
	for range 2 {
		facts, err := f.Driver.Check(t.Context(), cand)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for name, fact := range facts {
			got[name] = ""
			if fact.Problem != nil {
				got[name] = fact.Problem.Reason
			}
		}
		if !maps.Equal(want, got) {
			t.Error(cmp.Diff(want, got))
		}
	}
	if after := f.observe(t); !reflect.DeepEqual(before, after) {
		t.Error("Check changed something")
	}
}

func cutOff(t *testing.T, f Fixture) {
	f.put(t, section("s", "1"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.Driver.PutSections(ctx, []samba.Section{section("s", "1", "comment", "x")}); !errors.Is(err, context.Canceled) {
		t.Errorf("PutSections: %v", err)
	}
	if err := f.Driver.RemoveSections(ctx, []string{"s"}); !errors.Is(err, context.Canceled) {
		t.Errorf("RemoveSections: %v", err)
	}
	if err := f.Driver.SyncAccounts(ctx, samba.AccountChange{PutUsers: []samba.User{{Name: "u", ID: 20000, NTHash: hashA, Enabled: true}}}); !errors.Is(err, context.Canceled) {
		t.Errorf("SyncAccounts: %v", err)
	}
	f.sees(t, section("s", "1"))
}

func closeShares(t *testing.T, f Fixture) {
	f.put(t, section("s", "1"))
	for range 2 {
		if err := f.Driver.CloseShares(t.Context(), []string{"s", "absent"}); err != nil {
			t.Fatal(err)
		}
	}
	f.sees(t, section("s", "1"))
}
