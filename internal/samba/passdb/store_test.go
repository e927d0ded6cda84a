package passdb

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pve-smb-gateway/smbgw/internal/desired"
	"github.com/pve-smb-gateway/smbgw/internal/samba"
	"github.com/pve-smb-gateway/smbgw/internal/samba/nthash"
	"github.com/pve-smb-gateway/smbgw/internal/samba/sambatest"
)

func must(t testing.TB, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func write(t testing.TB, name, content string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(content), 0o644))
}

func read(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	must(t, err)
	return string(b)
}

func user(n int, password string) samba.User {
	u := samba.User{Name: fmt.Sprintf("user%04d", n), ID: desired.FirstUserID + n, FullName: fmt.Sprintf("User %d", n)}
	if password != "" {
		u.NTHash, u.Enabled = nthash.Sum(password), true
	}
	return u
}

// TestHashIsSambas compares our hash with the one that Samba makes of the same password.
func TestHashIsSambas(t *testing.T) {
	i := sambatest.New(t)
	s := New(i)
	must(t, s.Apply(t.Context(), samba.AccountChange{PutUsers: []samba.User{user(1, "start")}}))
	for _, password := range []string{"Passw0rd!", "pässwörd", "漢字 😀"} {
		if _, err := i.Run(t.Context(), strings.NewReader(password+"\n"+password+"\n"), "pdbedit", "-a", "-t", "-u", "user0001"); err != nil {
			t.Fatal(err)
		}
		acc, _, err := s.Observe(t.Context())
		must(t, err)
		if got, want := nthash.Sum(password), acc.Users[0].NTHash; got != want {
			t.Errorf("%q: %s, Samba makes %s", password, got, want)
		}
	}
}

// TestWipedPassdb: what is lost is seen, and comes back with the next change.
func TestWipedPassdb(t *testing.T) {
	i := sambatest.New(t)
	s := New(i)
	want := user(1, "x")
	must(t, s.Apply(t.Context(), samba.AccountChange{PutUsers: []samba.User{want}}))
	for _, file := range []string{i.PassdbFile(), i.NSSFile("passwd")} {
		must(t, os.Remove(file))
		if file != i.PassdbFile() {
			must(t, i.WriteConfig(t.Context())) // brings back root and nobody
		}
		acc, _, err := s.Observe(t.Context())
		must(t, err)
		if len(acc.Users) == 1 && acc.Users[0] == want {
			t.Errorf("%s is gone, and Observe does not notice", file)
		}
		must(t, s.Apply(t.Context(), samba.AccountChange{PutUsers: []samba.User{want}}))
		acc, _, err = s.Observe(t.Context())
		must(t, err)
		if len(acc.Users) != 1 || acc.Users[0] != want {
			t.Errorf("%s is gone, and Apply does not bring it back: %v", file, acc.Users)
		}
	}
}

func TestNoSecretIsLeft(t *testing.T) {
	i := sambatest.New(t)
	s := New(i)
	must(t, s.Apply(t.Context(), samba.AccountChange{PutUsers: []samba.User{user(1, "x")}}))
	// Killed while the file was there.
	write(t, filepath.Join(i.PrivateDir(), "import.smbpasswd"), "left:1:X:"+nthash.Sum("left")+":[U]:LCT-0:\n")
	must(t, s.Apply(t.Context(), samba.AccountChange{PutUsers: []samba.User{user(1, "y")}}))
	entries, err := os.ReadDir(i.PrivateDir())
	must(t, err)
	for _, e := range entries {
		if strings.Contains(e.Name(), "import") {
			t.Errorf("%s is left", e.Name())
		}
	}
}

// TestImportTellsWhomSambaRefused: pdbedit exits 0 even then.
func TestImportTellsWhomSambaRefused(t *testing.T) {
	i := sambatest.New(t)
	s := New(i)
	err := s.importUsers(t.Context(), []samba.User{user(7, "x")}) // without a Unix entry
	if err == nil || !strings.Contains(err.Error(), "user0007") {
		t.Errorf("got %v", err)
	}
}

// TestExtrausersKeepsForeignLines works on copies of the files; the machine's own are never touched.
func TestExtrausersKeepsForeignLines(t *testing.T) {
	i := sambatest.New(t)
	i.NSS, i.NSSDir = samba.NSSExtrausers, filepath.Join(i.Dir, "extrausers")
	s := New(i)
	s.systemDir = filepath.Join(i.Dir, "etc")
	write(t, s.system("passwd"), "root:x:0:0::/root:/bin/sh\nAdmin:x:1000:1000::/home/admin:/bin/sh\n")
	write(t, s.system("group"), "root:x:0:\nstaff:x:50:\n")
	foreign := "# by hand\nldapuser:x:70000:70000:Somebody:/home/l:/bin/bash\n\n+nis\nshort:x\n"
	write(t, i.NSSFile("passwd"), foreign+"old:x:20000:65534::/:/bin/sh\n")
	write(t, i.NSSFile("group"), "theirs:x:70000:ldapuser\n")
	write(t, i.NSSFile("shadow"), "ldapuser:$6$x:1:0:99999:7:::\nold:!:1::::::\n")

	acc, taken, err := s.Observe(t.Context())
	must(t, err)
	if len(acc.Users) != 1 || acc.Users[0].Name != "old" || acc.Users[0].ID != 20000 {
		t.Errorf("users: %v", acc.Users)
	}
	for _, name := range []string{"root", "admin", "ldapuser"} {
		if !taken.Users[name] {
			t.Errorf("%s does not count as taken", name)
		}
	}
	if !taken.Groups["staff"] || !taken.Groups["theirs"] || taken.Users["old"] || !taken.UserIDs[70000] {
		t.Errorf("taken: %+v", taken)
	}
	// No password: passdb needs real NSS, which this test leaves alone.
	must(t, s.Apply(t.Context(), samba.AccountChange{PutUsers: []samba.User{user(1, "")}, RemoveUsers: []string{"old", "ldapuser"},
		PutGroups: []samba.Group{{Name: "team", ID: desired.FirstGroupID, Members: []string{"user0001"}}}, RemoveGroups: []string{"theirs"}}))
	for db, want := range map[string]string{
		"passwd": foreign + "user0001:x:20001:65534:User 1:/nonexistent:/usr/sbin/nologin\n",
		"group":  "theirs:x:70000:ldapuser\nteam:x:50000:user0001\n",
		"shadow": "ldapuser:$6$x:1:0:99999:7:::\nuser0001:!:20000:0:99999:7:::\n",
	} {
		if got := read(t, i.NSSFile(db)); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", db, got, want)
		}
	}
	before, err := os.Stat(i.NSSFile("passwd"))
	must(t, err, s.Apply(t.Context(), samba.AccountChange{PutUsers: []samba.User{user(1, "")}}))
	if after, _ := os.Stat(i.NSSFile("passwd")); !os.SameFile(before, after) {
		t.Error("the same change wrote again")
	}
}

func TestExtrausersMustBeActive(t *testing.T) {
	i := sambatest.New(t)
	i.NSS = samba.NSSExtrausers
	s := New(i)
	s.systemDir = filepath.Join(i.Dir, "etc")
	for conf, ok := range map[string]bool{
		"passwd: files extrausers\ngroup:files extrausers # x\n": true,
		"passwd: files\ngroup: files extrausers\n":               false,
		"passwd: files # extrausers\ngroup: files extrausers\n":  false,
		"": false,
	} {
		write(t, s.system("nsswitch.conf"), conf)
		if err := s.checkNSS(); (err == nil) != ok {
			t.Errorf("%q: %v", conf, err)
		}
	}
}

func TestThousandUsers(t *testing.T) {
	i := sambatest.New(t)
	s := New(i)
	var c samba.AccountChange
	for n := range 1000 {
		c.PutUsers = append(c.PutUsers, user(n, fmt.Sprint("pw", n)))
	}
	must(t, s.Apply(t.Context(), c))
	acc, _, err := s.Observe(t.Context())
	must(t, err)
	if len(acc.Users) != 1000 {
		t.Fatalf("%d users", len(acc.Users))
	}
	for n, u := range acc.Users {
		if u != c.PutUsers[n] {
			t.Fatalf("%v, want %v", u, c.PutUsers[n])
		}
	}
}

func BenchmarkImport1000(b *testing.B) {
	i := sambatest.New(b)
	s := New(i)
	for round := 0; b.Loop(); round++ {
		var c samba.AccountChange
		for n := range 1000 {
			c.PutUsers = append(c.PutUsers, user(n, fmt.Sprint("pw", n, round)))
		}
		must(b, s.Apply(b.Context(), c))
	}
}

func BenchmarkObserve1000(b *testing.B) {
	i := sambatest.New(b)
	s := New(i)
	var c samba.AccountChange
	for n := range 1000 {
		c.PutUsers = append(c.PutUsers, user(n, "pw"))
	}
	must(b, s.Apply(b.Context(), c))
	for b.Loop() {
		s.stamp = ""
		_, _, err := s.Observe(b.Context())
		must(b, err)
	}
}

func FuzzParseSmbpasswd(f *testing.F) {
	f.Add([]byte("u3:20003:XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX:8846F7EAEE8FB117AD06BDD830B7586C:[DU         ]:LCT-6B03DB7A:\n"))
	f.Add([]byte("Unknown parameter encountered: \"x\"\nu5:4294967295:X:NO PASSWORDXXXXXXXXXXXXXXXXXXXXX:[NU]:LCT-0:\n"))
	f.Fuzz(func(t *testing.T, out []byte) {
		for _, r := range parseSmbpasswd(out) {
			if r.name == "" || strings.ContainsAny(r.name, ":\n") || r.id < -1 || !samba.ValidHash(r.hash) {
				t.Errorf("%+v", r)
			}
		}
	})
}

// FuzzNSS holds that a change of ours keeps every foreign line, and adds exactly one line.
func FuzzNSS(f *testing.F) {
	f.Add("root:x:0:0::/:/bin/sh\nx:x:20000:1::/:/bin/sh\n")
	f.Add("+\n#\n:::\n\x00\n20000:x:20000:20000:20000:20000:20000\n")
	f.Fuzz(func(t *testing.T, content string) {
		count := func(b string) (foreign []string, ours int) {
			for _, e := range parseNSS([]byte(b), false) {
				if e.name != "" && ourUser(e.id) {
					ours++
				} else {
					foreign = append(foreign, e.line)
				}
			}
			return foreign, ours
		}
		u := samba.User{Name: "zz-new", ID: 20500}
		before, n := count(content)
		out := string(changeUsers(parseNSS([]byte(content), false), []samba.User{u}, nil))
		after, m := count(out)
		if strings.Join(before, "\n") != strings.Join(after, "\n") || m != n+1 && !strings.Contains(content, "zz-new") {
			t.Errorf("%q became %q", content, out)
		}
	})
}
