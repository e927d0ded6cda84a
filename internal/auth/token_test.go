package auth

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestTokenLife(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.admin(t)
		secret, uid := c.newToken(t, "script", "Share.Audit")
		if !strings.HasPrefix(secret, "smbgw_") || len(secret) != 49 {
			t.Errorf("secret %q", secret)
		}
		p := w.program(secret)
		if me := p.do(t, 200, "GET", "/auth/me", nil); me["kind"] != "token" || me["name"] != "Alice/script" || me["uid"] != uid || len(me["privileges"].([]any)) != 1 {
			t.Errorf("%v", me)
		}
		if actor := p.do(t, 200, "GET", "/shares", nil); actor["kind"] != "token" || actor["uid"] != uid || actor["remoteAddr"] != "192.0.2.1" {
			t.Errorf("actor %v", actor)
		}
		code(t, p.do(t, 403, "POST", "/shares", nil), "auth.forbidden")
		code(t, p.do(t, 403, "GET", "/accounts", nil), "auth.forbidden")
		got := c.do(t, 200, "GET", "/tokens/"+uid, nil)
		if _, ok := got["secret"]; ok {
			t.Error("the secret is shown again")
		}
		if got["lastUsedAt"] != "2026-01-02T03:04:05Z" || got["lastUsedAddr"] != "192.0.2.1" || got["owner"] != "Alice" {
			t.Errorf("%v", got)
		}
		// Use is noted to a minute, and audited when it is new, from elsewhere, or a day later.
		w.clock.Advance(30 * time.Second)
		p.do(t, 200, "GET", "/shares", nil)
		w.clock.Advance(time.Minute)
		p.do(t, 200, "GET", "/shares", nil)
		if n := len(w.trail.of("token.used")); n != 1 {
			t.Errorf("%d uses in the trail, want 1", n)
		}
		p.addr = "203.0.113.9:1"
		w.clock.Advance(time.Minute)
		p.do(t, 200, "GET", "/shares", nil)
		w.clock.Advance(25 * time.Hour)
		p.do(t, 200, "GET", "/shares", nil)
		rows := w.trail.of("token.used")
		if len(rows) != 3 || rows[1].Actor.RemoteAddr != "203.0.113.9" || rows[1].Actor.Kind != "token" {
			t.Errorf("%+v", rows)
		}
		c.login(t, "Alice", password)
		code(t, c.do(t, 409, "POST", "/tokens", creds{"name": "SCRIPT", "privileges": []string{"Share.Audit"}}), CodeTokenNameTaken)
		// Revoked, it stops at once; a new one of the same name has another secret.
		c.do(t, 204, "DELETE", "/tokens/"+uid, nil)
		code(t, p.do(t, 401, "GET", "/shares", nil), "auth.unauthenticated")
		again, _ := c.newToken(t, "script", "Share.Audit")
		if again == secret {
			t.Error("the secret came back")
		}
		p.do(t, 401, "GET", "/shares", nil)
		w.program(again).do(t, 200, "GET", "/shares", nil)
	})
}

func TestTokenExpires(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.admin(t)
		code(t, c.do(t, 422, "POST", "/tokens", map[string]any{"name": "t", "privileges": []string{"Share.Audit"}, "expiresAt": w.clock.Now()}), CodeTokenExpiry)
		out := c.do(t, 201, "POST", "/tokens", map[string]any{"name": "t", "privileges": []string{"Share.Audit"}, "expiresAt": w.clock.Now().Add(time.Hour)})
		p := w.program(out["secret"].(string))
		w.clock.Advance(time.Hour - time.Second)
		p.do(t, 200, "GET", "/shares", nil)
		w.clock.Advance(time.Second)
		p.do(t, 401, "GET", "/shares", nil)
		if rows := w.trail.of("token.refused"); len(rows) != 1 || rows[0].Actor.UID != out["uid"] {
			t.Errorf("%+v", rows)
		}
	})
}

func TestBadTokens(t *testing.T) {
	w := lite(t)
	c := w.admin(t)
	secret, _ := c.newToken(t, "t", "Share.Audit")
	for _, header := range [][]string{
		{""}, {"Bearer"}, {"Bearer "}, {"Bearer x"}, {"Basic QWxpY2U6cGFzc3dvcmQ="}, {secret}, {"Bearer " + secret + "x"}, {"Bearer " + secret[:48]},
		{"Bearer " + strings.ToUpper(secret)}, {"Bearer " + secret + " x"}, {"Bearer " + secret, "Bearer " + secret}, {"Bearer " + tokenPrefix + newSecret()},
		{"Bearer smbgw_" + strings.Repeat("'", 43)},
	} {
		r := c.request("GET", "/shares", nil) // the good cookie beside it does not help
		r.Header["Authorization"] = header
		res := c.send(r)
		out := expect(t, res, 401)
		code(t, out, "auth.unauthenticated")
		if res.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%q: no WWW-Authenticate", header)
		}
	}
	r := c.request("GET", "/auth/status", nil) // not even what is public: the caller has a mistake to mend
	r.Header.Set("Authorization", "Bearer x")
	expect(t, c.send(r), 401)
	r = c.request("GET", "/shares", nil)
	r.Header = http.Header{"Authorization": {"bearer " + secret}}
	expect(t, c.send(r), 200)
}

// Nobody gets more than they hold, by whatever way.
func TestNoEscalation(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		admin := w.admin(t)
		me := admin.do(t, 200, "GET", "/auth/me", nil)["uid"].(string)
		bobUID := admin.do(t, 201, "POST", "/accounts", creds{"name": "bob", "role": "auditor", "password": password})["uid"].(string)
		bob := w.client().login(t, "bob", password)
		bob.do(t, 200, "GET", "/shares", nil)
		bob.do(t, 403, "POST", "/shares", nil)
		bob.do(t, 403, "POST", "/accounts", creds{"name": "eve", "role": "auditor", "password": password})
		bob.do(t, 403, "PATCH", "/accounts/"+bobUID, creds{"role": "administrator"})
		code(t, bob.do(t, 422, "POST", "/tokens", creds{"name": "t", "privileges": []string{"Share.Audit", "Share.Modify"}}), CodePrivilegeNotHeld)
		code(t, bob.do(t, 422, "POST", "/tokens", creds{"name": "t", "privileges": []string{"Share.Everything"}}), CodePrivilegeUnknown)
		bob.do(t, 422, "POST", "/tokens", creds{"name": "t", "privileges": []string{}})
		bob.do(t, 422, "POST", "/tokens", creds{"name": "t", "privileges": []string{"loggedIn"}})
		bob.do(t, 422, "POST", "/tokens", creds{"name": "t", "privileges": []string{"public"}})

		// A token of an administrator that may change accounts, but not all that an administrator may.
		scoped, _ := admin.newToken(t, "accounts", "Auth.Audit", "Auth.Modify")
		p := w.program(scoped)
		code(t, p.do(t, 422, "POST", "/tokens", creds{"name": "t", "privileges": []string{"Share.Modify"}}), CodePrivilegeNotHeld)
		code(t, p.do(t, 403, "POST", "/accounts", creds{"name": "eve", "role": "administrator", "password": password}), "auth.forbidden")
		code(t, p.do(t, 403, "POST", "/accounts", creds{"name": "eve", "role": "auditor", "password": password}), "auth.forbidden")
		code(t, p.do(t, 403, "PATCH", "/accounts/"+bobUID, creds{"password": other}), "auth.forbidden")
		p.do(t, 403, "DELETE", "/accounts/"+bobUID, nil)
		p.do(t, 422, "PATCH", "/accounts/"+me, creds{"password": other}) // nor its owner's password
		full, fullUID := admin.newToken(t, "full", Administrator.Privileges()...)
		w.program(full).do(t, 422, "PATCH", "/accounts/"+me, creds{"password": other})
		admin.do(t, 422, "PATCH", "/accounts/"+me, creds{"password": other}) // which asks for the current one
		code(t, p.do(t, 403, "DELETE", "/tokens/"+fullUID, nil), "auth.forbidden")
		small, smallUID := admin.newToken(t, "small", "Share.Audit")
		w.program(small).do(t, 404, "GET", "/tokens/x", nil)
		w.program(small).do(t, 403, "DELETE", "/tokens/"+fullUID, nil)
		bob.do(t, 403, "DELETE", "/tokens/"+smallUID, nil)
		w.program(small).do(t, 204, "DELETE", "/tokens/"+smallUID, nil) // itself it may

		// An auditor's token loses what its owner loses, and everything when the owner is locked or goes.
		admin.do(t, 200, "PATCH", "/accounts/"+bobUID, creds{"role": "administrator"})
		bob.do(t, 401, "GET", "/shares", nil) // a new role needs a new login
		bob.login(t, "bob", password)
		secret, _ := bob.newToken(t, "mine", "Share.Audit", "Share.Modify")
		q := w.program(secret)
		q.do(t, 200, "POST", "/shares", nil)
		admin.do(t, 200, "PATCH", "/accounts/"+bobUID, creds{"role": "auditor"})
		q.do(t, 403, "POST", "/shares", nil)
		q.do(t, 200, "GET", "/shares", nil)
		admin.do(t, 200, "PATCH", "/accounts/"+bobUID, creds{"disabled": true})
		q.do(t, 401, "GET", "/shares", nil)
		bob.do(t, 401, "POST", "/auth/login", creds{"name": "bob", "password": password})
		admin.do(t, 200, "PATCH", "/accounts/"+bobUID, creds{"disabled": false})
		q.do(t, 200, "GET", "/shares", nil)
		bob.login(t, "bob", password)
		admin.do(t, 204, "DELETE", "/accounts/"+bobUID, nil)
		q.do(t, 401, "GET", "/shares", nil)
		bob.do(t, 401, "GET", "/auth/me", nil)
		if dump := w.dump(t); strings.Contains(dump, bobUID) {
			t.Errorf("something of a deleted account is left: %s", dump)
		}
		if n := len(w.trail.of("token.revoked")); n != 2 {
			t.Errorf("%d tokens revoked in the trail, want 2", n)
		}
	})
}

func TestTokensAreSeenByTheirOwner(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		admin := w.admin(t)
		small, _ := admin.newToken(t, "small", "Share.Audit")
		admin.newToken(t, "big", "Share.Audit", "Auth.Audit")
		// The token's own account's tokens, also without Auth.Audit; those of the local command line are not among them.
		if err := w.LocalToken(t.Context(), filepath.Join(t.TempDir(), "cli-token")); err != nil {
			t.Fatal(err)
		}
		if got := w.program(small).do(t, 200, "GET", "/tokens", nil); got["total"] != 2.0 {
			t.Errorf("%v", got)
		}
		if got := admin.do(t, 200, "GET", "/tokens?sort=-name&limit=1", nil); got["total"] != 3.0 || got["nextCursor"] == nil {
			t.Errorf("%v", got)
		}
		if got := admin.do(t, 200, "GET", "/tokens?q=smal", nil); got["total"] != 1.0 {
			t.Errorf("%v", got)
		}
	})
}

// A POST that comes again because its answer was lost makes no twin; the new answer has a secret that works.
func TestTokenRetry(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.admin(t)
		make := func() map[string]any {
			r := c.request("POST", "/tokens", creds{"name": "t", "privileges": []string{"Share.Audit"}})
			r.Header.Set("Idempotency-Key", "once")
			return expect(t, c.send(r), 201)
		}
		one, two := make(), make()
		if one["uid"] != two["uid"] || one["secret"] == two["secret"] {
			t.Errorf("%v and %v", one["uid"], two["uid"])
		}
		w.program(one["secret"].(string)).do(t, 401, "GET", "/shares", nil)
		w.program(two["secret"].(string)).do(t, 200, "GET", "/shares", nil)
	})
}

func TestLocalToken(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		path := filepath.Join(t.TempDir(), "server", "cli-token")
		local := func() string {
			t.Helper()
			if err := w.LocalToken(t.Context(), path); err != nil {
				t.Fatal(err)
			}
			info, err := os.Lstat(path)
			if err != nil {
				t.Fatal(err)
			}
			if info.Mode() != 0o600 {
				t.Errorf("mode %v", info.Mode())
			}
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			return strings.TrimSpace(string(raw))
		}
		status := func(secret, from string) int {
			p := w.program(secret)
			p.addr = from
			return p.send(p.request("POST", "/shares", nil)).StatusCode
		}
		one := local()
		if info, err := os.Stat(filepath.Dir(path)); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("directory: %v, %v", info.Mode(), err)
		}
		for from, want := range map[string]int{"127.0.0.1:1": 200, "[::1]:1": 200, "192.0.2.7:1": 401, "@": 401} {
			if got := status(one, from); got != want {
				t.Errorf("from %s: %d, want %d", from, got, want)
			}
		}
		if local() != one {
			t.Error("a good token was replaced")
		}
		// On a server that listens on one address only, the machine itself comes from there.
		p := w.program(one)
		p.addr = "192.0.2.7:1"
		r := p.request("POST", "/shares", nil)
		r = r.WithContext(contextWithLocal(r, "192.0.2.7:8443"))
		expect(t, p.send(r), 200)
		// It makes the first account without a set-up code, but no token for nobody.
		p.addr = "127.0.0.1:1"
		code(t, p.do(t, 409, "POST", "/tokens", creds{"name": "t", "privileges": []string{"Share.Audit"}}), CodeTokenOwner)
		p.do(t, 201, "POST", "/accounts", creds{"name": "alice", "role": "administrator", "password": password})

		for name, spoil := range map[string]func() error{
			"readable by others": func() error { return os.Chmod(path, 0o644) },
			"gone":               func() error { return os.Remove(path) },
			"cut short":          func() error { return os.Truncate(path, 20) },
			"empty":              func() error { return os.Truncate(path, 0) },
			"unknown":            func() error { return os.WriteFile(path, []byte(tokenPrefix+newSecret()), 0o600) },
			"a link": func() error {
				if err := os.Rename(path, path+".away"); err != nil {
					return err
				}
				return os.Symlink(path+".away", path)
			},
			"another's": func() error { return os.Chown(path, 12345, 12345) },
		} {
			old := local()
			if err := spoil(); err != nil {
				t.Fatal(err)
			}
			fresh := local()
			if fresh == old || status(old, "127.0.0.1:1") != 401 || status(fresh, "127.0.0.1:1") != 200 {
				t.Errorf("%s: the token was not replaced", name)
			}
		}
		left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".token-*"))
		if err != nil || len(left) > 0 {
			t.Errorf("left over: %v, %v", left, err)
		}
	})
}

func TestLocalTokenOfAccountIsNoLocalToken(t *testing.T) {
	w := lite(t)
	c := w.admin(t)
	path := filepath.Join(t.TempDir(), "cli-token")
	secret, _ := c.newToken(t, "t", "Share.Audit")
	if err := os.WriteFile(path, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := w.LocalToken(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	if raw, err := os.ReadFile(path); err != nil || strings.Contains(string(raw), secret) {
		t.Errorf("another's token was kept, %v", err)
	}
	w.program(secret).do(t, 200, "GET", "/shares", nil)
}

func contextWithLocal(r *http.Request, addr string) context.Context {
	return context.WithValue(r.Context(), http.LocalAddrContextKey, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr)))
}
