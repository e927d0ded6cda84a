package auth

import (
	"strings"
	"testing"
	"time"
)

func TestHash(t *testing.T) {
	h := newHasher(cheap)
	one, err := h.hash(t.Context(), "pässword one two")
	if err != nil {
		t.Fatal(err)
	}
	two, err := h.hash(t.Context(), "pässword one two")
	if err != nil {
		t.Fatal(err)
	}
	if one == two {
		t.Error("no salt")
	}
	for password, want := range map[string]bool{
		"pässword one two": true, "pa\u0308ssword one two": true, "passwörd one two": false, "": false, "pässword one two ": false,
	} {
		ok, stale, err := h.verify(t.Context(), one, password)
		if err != nil || ok != want || stale {
			t.Errorf("%q: %v, %v, %v", password, ok, stale, err)
		}
	}
	if ok, _, err := h.verify(t.Context(), h.nobody, ""); err != nil || ok {
		t.Errorf("nobody's hash: %v, %v", ok, err)
	}
	if ok, stale, err := newHasher(params{8, 2, 1}).verify(t.Context(), one, "pässword one two"); err != nil || !ok || !stale {
		t.Errorf("other costs: %v, %v, %v", ok, stale, err)
	}
	if _, _, err := h.verify(t.Context(), "", "x"); err == nil {
		t.Error("an empty hash was taken")
	}
}

func TestCurrentCosts(t *testing.T) {
	if current.memory < 19*1024 || current.time < 2 {
		t.Errorf("%+v is less than OWASP asks for", current)
	}
	h := newHasher(current)
	start := time.Now()
	hash, err := h.hash(t.Context(), password)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("one hash takes %v", time.Since(start))
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("%s", hash)
	}
	if ok, stale, err := h.verify(t.Context(), hash, password); err != nil || !ok || stale {
		t.Errorf("%v, %v, %v", ok, stale, err)
	}
}

// The test vector is of the reference implementation: echo -n password | argon2 somesalt -id -t 2 -m 16 -p 1 -l 24
// is close to it, made with -k 65536.
func TestHashOfReferenceProgram(t *testing.T) {
	const hash = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	ok, stale, err := newHasher(cheap).verify(t.Context(), hash, "password")
	if err != nil || !ok || !stale {
		t.Errorf("%v, %v, %v", ok, stale, err)
	}
}

func TestCheckPassword(t *testing.T) {
	for password, good := range map[string]bool{
		"correct horse battery": true, "äöüßäöüßäöüß1": true, "short": false, "": false, "aaaaaaaaaaaaaaaa": false, "abababababababab": false,
		"alicealice-2026": false, "Alice Alice!": false, "alice likes trees": true, "bad\xffutf8 utf8 utf8": false, strings.Repeat("abcdefgh", 129): false,
	} {
		if bad := checkPassword("/password", "alice", password); (bad == nil) != good {
			t.Errorf("%q: %v", password, bad)
		}
	}
	if bad := checkPassword("/new", "", "short"); bad[0].Pointer != "/new" || bad[0].Code != CodePasswordWeak {
		t.Errorf("%+v", bad)
	}
}

func FuzzParseDigest(f *testing.F) {
	for _, s := range []string{
		"", "$", "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=99999999,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=8,t=0,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2i$v=19$m=8,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$", "$argon2id$v=19$m= 8,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=8,t=1,p=257$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=+8,t=1,p=1$c29tZXNhbHR$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := parseDigest(s)
		if err != nil {
			if strings.Contains(err.Error(), s) && s != "" && len(s) > 12 {
				t.Error("the error quotes the hash")
			}
			return
		}
		if d.String() != s {
			t.Errorf("%q is written back as %q", s, d)
		}
		// Costs that argon2 panics on, or that would stop the server, do not get this far.
		if d.time < 1 || d.threads < 1 || d.memory > 256*1024 || d.time > 16 || d.memory < 8 || len(d.salt) < 8 || len(d.key) < 16 {
			t.Errorf("%q: %+v", s, d.params)
		}
	})
}
