package auth

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/db"
)

func dbList() db.ListQuery { return db.ListQuery{} }

func TestCookieFlags(t *testing.T) {
	w := lite(t)
	w.admin(t)
	c := w.client()
	res := c.send(c.request("POST", "/auth/login", creds{"name": "Alice", "password": password}))
	lines := strings.Join(res.Header.Values("Set-Cookie"), "\n")
	if n := len(res.Cookies()); n != 2 {
		t.Fatalf("%d cookies: %s", n, lines)
	}
	for _, k := range res.Cookies() {
		if !k.Secure || k.SameSite != http.SameSiteStrictMode || k.Path != "/" || k.Domain != "" || k.MaxAge != 7*24*3600 {
			t.Errorf("%s", k)
		}
		if want := k.Name == SessionCookie; k.HttpOnly != want {
			t.Errorf("HttpOnly of %s is %v", k.Name, k.HttpOnly)
		}
		if len(k.Value) != 43 {
			t.Errorf("%s has %d characters, want 43: 256 bits", k.Name, len(k.Value))
		}
	}
	if !strings.HasPrefix(SessionCookie, "__Host-") {
		t.Error("the prefix __Host- keeps other hosts and ports from planting the cookie")
	}
	if got := res.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control %q", got)
	}
}

func TestCSRF(t *testing.T) {
	w := lite(t)
	c := w.admin(t)
	stranger := w.client()
	token, _ := c.newToken(t, "t", "Share.Modify")
	planted := newSecret()
	cases := []struct {
		name string
		want int
		path string
		edit func(r *http.Request)
	}{
		{"as it should be", 200, "/shares", func(*http.Request) {}},
		{"a client that is no browser", 200, "/shares", func(r *http.Request) { r.Header.Del("Origin"); r.Header.Del("Sec-Fetch-Site") }},
		{"no header", 403, "/shares", func(r *http.Request) { r.Header.Del(CSRFHeader) }},
		{"empty header", 403, "/shares", func(r *http.Request) { r.Header.Set(CSRFHeader, "") }},
		{"wrong header", 403, "/shares", func(r *http.Request) { r.Header.Set(CSRFHeader, planted) }},
		{"no cookie", 403, "/shares", func(r *http.Request) {
			r.Header.Set("Cookie", SessionCookie+"="+c.cookies[SessionCookie].Value)
		}},
		{"planted cookie with its header", 403, "/shares", func(r *http.Request) {
			r.Header.Set("Cookie", SessionCookie+"="+c.cookies[SessionCookie].Value+"; "+CSRFCookie+"="+planted)
			r.Header.Set(CSRFHeader, planted)
		}},
		{"other origin", 403, "/shares", func(r *http.Request) { r.Header.Set("Origin", "https://evil.test") }},
		{"other port", 403, "/shares", func(r *http.Request) { r.Header.Set("Origin", "https://gw.test:8443") }},
		{"without TLS", 403, "/shares", func(r *http.Request) { r.Header.Set("Origin", "http://gw.test") }},
		{"origin null", 403, "/shares", func(r *http.Request) { r.Header.Set("Origin", "null") }},
		{"two origins", 403, "/shares", func(r *http.Request) { r.Header.Add("Origin", "https://evil.test") }},
		{"cross-site", 403, "/shares", func(r *http.Request) { r.Header.Del("Origin"); r.Header.Set("Sec-Fetch-Site", "cross-site") }},
		{"same-site", 403, "/shares", func(r *http.Request) { r.Header.Del("Origin"); r.Header.Set("Sec-Fetch-Site", "same-site") }},
		{"a token needs none", 200, "/shares", func(r *http.Request) {
			r.Header = http.Header{"Authorization": {"Bearer " + token}, "Origin": {"https://evil.test"}}
		}},
		{"logout", 403, "/auth/logout", func(r *http.Request) { r.Header.Del(CSRFHeader) }},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			r := c.request("POST", tc.path, nil)
			tc.edit(r)
			out := expect(t, c.send(r), tc.want)
			if tc.want == 403 {
				code(t, out, CodeCSRF)
			}
		})
	}
	t.Run("login from another site", func(t *testing.T) {
		for _, path := range []string{"/auth/login", "/auth/setup"} {
			r := stranger.request("POST", path, creds{"name": "Alice", "password": password, "code": "x"})
			r.Header.Set("Origin", "https://evil.test")
			code(t, expect(t, stranger.send(r), 403), CodeCSRF)
		}
	})
	t.Run("WebSocket from another site", func(t *testing.T) {
		r := c.request("GET", "/shares", nil)
		r.Header.Set("Upgrade", "websocket")
		r.Header.Set("Origin", "https://evil.test")
		code(t, expect(t, c.send(r), 403), CodeCSRF)
	})
	t.Run("reading needs no header", func(t *testing.T) {
		r := c.request("GET", "/shares", nil)
		r.Header.Del(CSRFHeader)
		expect(t, c.send(r), 200)
	})
}

func TestFixation(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		alice := w.admin(t)
		// An id that an attacker has chosen is never taken on.
		c := w.client()
		chosen := newSecret()
		c.cookies[SessionCookie] = &http.Cookie{Name: SessionCookie, Value: chosen}
		c.login(t, "Alice", password)
		if c.cookies[SessionCookie].Value == chosen {
			t.Fatal("the chosen session id was taken on")
		}
		thief := w.client()
		thief.cookies[SessionCookie] = &http.Cookie{Name: SessionCookie, Value: chosen}
		thief.do(t, 401, "GET", "/auth/me", nil)
		// A new login ends the session that the browser had, and no other.
		before := *c.cookies[SessionCookie]
		c.login(t, "Alice", password)
		thief.cookies[SessionCookie] = &before
		thief.do(t, 401, "GET", "/auth/me", nil)
		c.do(t, 200, "GET", "/auth/me", nil)
		alice.do(t, 200, "GET", "/auth/me", nil)
	})
}

func TestSessionsEnd(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.admin(t)
		// Used now and then it lasts 7 days and no longer.
		for at := time.Duration(0); at < SessionLife; at += 11 * time.Hour {
			c.do(t, 200, "GET", "/auth/me", nil)
			w.clock.Advance(11 * time.Hour)
		}
		if out := c.do(t, 401, "GET", "/auth/me", nil); !strings.Contains(out["detail"].(string), "expired") {
			t.Errorf("%v", out)
		}
		// An ended session does not keep one from logging in.
		c.login(t, "Alice", password)
		w.clock.Advance(SessionIdle - time.Second)
		c.do(t, 200, "GET", "/auth/me", nil)
		w.clock.Advance(SessionIdle)
		c.do(t, 401, "GET", "/auth/me", nil)
		if err := w.Prune(t.Context()); err != nil {
			t.Fatal(err)
		}
		if dump := w.dump(t); !strings.Contains(dump, "auth_session: null") && !strings.Contains(dump, "auth_session: []") {
			t.Errorf("ended sessions are kept: %s", dump)
		}
	})
}

func TestSessionList(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		one := w.admin(t)
		w.clock.Advance(time.Minute)
		two := w.client().login(t, "Alice", password)
		one.do(t, 201, "POST", "/accounts", creds{"name": "bob", "role": "auditor", "password": password})
		bob := w.client().login(t, "bob", password)
		list := func(c *client) (current string, uids []string) {
			t.Helper()
			for _, it := range c.do(t, 200, "GET", "/auth/sessions", nil)["items"].([]any) {
				s := it.(map[string]any)
				uids = append(uids, s["uid"].(string))
				if s["current"] == true {
					current = s["uid"].(string)
				}
			}
			return current, uids
		}
		first, all := list(one)
		second, _ := list(two)
		if len(all) != 2 || first == "" || second == "" || first == second {
			t.Fatalf("%v %s %s", all, first, second)
		}
		bob.do(t, 404, "DELETE", "/auth/sessions/"+second, nil) // not his
		token, _ := one.newToken(t, "t", "Share.Audit")
		code(t, w.program(token).do(t, 403, "GET", "/auth/sessions", nil), CodeSessionNeeded)
		code(t, w.program(token).do(t, 403, "DELETE", "/auth/sessions/"+second, nil), CodeSessionNeeded)
		r := one.request("DELETE", "/auth/sessions/"+second, nil)
		r.Header.Del("If-Match")
		expect(t, one.send(r), 428)
		r.Header.Set("If-Match", `"2"`)
		expect(t, one.send(r), 412)
		one.do(t, 204, "DELETE", "/auth/sessions/"+second, nil)
		two.do(t, 401, "GET", "/auth/me", nil)
		one.do(t, 404, "DELETE", "/auth/sessions/"+second, nil)
		one.do(t, 200, "GET", "/auth/me", nil)
	})
}

func TestChangePassword(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.admin(t)
		elsewhere := w.client().login(t, "Alice", password)
		before := *c.cookies[SessionCookie]
		code(t, c.do(t, 422, "POST", "/auth/password", creds{"current": other, "new": other}), CodePasswordWrong)
		code(t, c.do(t, 422, "POST", "/auth/password", creds{"current": password, "new": "short"}), CodePasswordWeak)
		elsewhere.do(t, 200, "GET", "/auth/me", nil)
		c.do(t, 200, "POST", "/auth/password", creds{"current": password, "new": other})
		c.do(t, 200, "GET", "/auth/me", nil)
		elsewhere.do(t, 401, "GET", "/auth/me", nil)
		elsewhere.cookies[SessionCookie] = &before
		elsewhere.do(t, 401, "GET", "/auth/me", nil) // also the one that asked has a new id
		w.client().do(t, 401, "POST", "/auth/login", creds{"name": "Alice", "password": password})
		w.client().login(t, "Alice", other)
		token, _ := c.newToken(t, "all", Administrator.Privileges()...)
		code(t, w.program(token).do(t, 403, "POST", "/auth/password", creds{"current": other, "new": password}), CodeSessionNeeded)
	})
}
