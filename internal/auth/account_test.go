package auth

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/problem"
)

func TestAccounts(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.admin(t)
		me := c.do(t, 200, "GET", "/auth/me", nil)["uid"].(string)
		bob := c.do(t, 201, "POST", "/accounts", creds{"name": "Bob", "role": "auditor", "password": password})
		uid := bob["uid"].(string)
		if bob["generation"] != 1.0 || bob["revision"] != 1.0 || bob["password"] != nil {
			t.Errorf("%v", bob)
		}
		code(t, c.do(t, 409, "POST", "/accounts", creds{"name": "bOB", "role": "auditor", "password": password}), CodeNameTaken)
		code(t, c.do(t, 422, "POST", "/accounts", creds{"name": "eve", "role": "auditor"}), CodePasswordWeak)
		c.do(t, 422, "POST", "/accounts", creds{"name": "eve", "role": "root", "password": password})
		c.do(t, 422, "POST", "/accounts", creds{"name": "eve", "role": "auditor", "password": password, "uid": "x"})
		for _, name := range []string{"", " ", "a b", "a/b", "../x", "a\nb", "a\x00b", "-x", strings.Repeat("x", 65), "a\u202eb"} {
			c.do(t, 422, "POST", "/accounts", creds{"name": name, "role": "auditor", "password": password})
		}
		c.do(t, 404, "GET", "/accounts/nobody", nil)
		c.do(t, 422, "GET", "/accounts/a%00b", nil)
		c.do(t, 400, "GET", "/accounts?q=%00", nil)
		c.do(t, 400, "GET", "/accounts?filter="+url.QueryEscape(`name eq "a\u0000"`), nil)
		c.do(t, 400, "GET", "/accounts?filter="+url.QueryEscape(`password_hash contains "a"`), nil)
		if got := c.do(t, 200, "GET", "/accounts?filter="+url.QueryEscape(`role eq "auditor" and disabled eq false`), nil); got["total"] != 1.0 {
			t.Errorf("%v", got)
		}
		if got := c.do(t, 200, "GET", "/accounts?sort=-disabled,-createdAt&limit=1", nil); got["total"] != 2.0 {
			t.Errorf("%v", got)
		} else if next := c.do(t, 200, "GET", "/accounts?sort=-disabled,-createdAt&limit=1&cursor="+got["nextCursor"].(string), nil); len(next["items"].([]any)) != 1 {
			t.Errorf("%v", next)
		}

		// A stale ETag is refused; a fresh one is not; nothing changed is no change.
		stale := c.request("PATCH", "/accounts/"+uid, creds{"disabled": true})
		stale.Header.Set("If-Match", `"7"`)
		expect(t, c.send(stale), 412)
		fresh := c.request("PATCH", "/accounts/"+uid, creds{"name": "Robert"})
		fresh.Header.Set("If-Match", `"1"`)
		res := c.send(fresh)
		if expect(t, res, 200)["name"] != "Robert" || res.Header.Get("ETag") != `"2"` {
			t.Errorf("ETag %s", res.Header.Get("ETag"))
		}
		if got := c.do(t, 200, "PUT", "/accounts/"+uid, creds{"name": "Robert", "role": "auditor"}); got["revision"] != 2.0 {
			t.Errorf("%v", got)
		}
		w.client().login(t, "robert", password)
		// A password that an administrator sets ends the sessions.
		robert := w.client().login(t, "robert", password)
		c.do(t, 200, "PATCH", "/accounts/"+uid, creds{"password": other})
		robert.do(t, 401, "GET", "/auth/me", nil)
		robert.do(t, 401, "POST", "/auth/login", creds{"name": "robert", "password": password})
		robert.login(t, "robert", other)
		if got := c.do(t, 200, "GET", "/accounts/"+uid, nil); got["lastLoginAt"] == nil {
			t.Errorf("%v", got)
		}

		// The last administrator stays.
		for _, body := range []creds{{"role": "auditor"}, {"disabled": true}} {
			code(t, c.do(t, 409, "PATCH", "/accounts/"+me, body), CodeLastAdministrator)
		}
		code(t, c.do(t, 409, "DELETE", "/accounts/"+me, nil), CodeLastAdministrator)
		c.do(t, 200, "PATCH", "/accounts/"+uid, creds{"role": "administrator", "disabled": true})
		code(t, c.do(t, 409, "DELETE", "/accounts/"+me, nil), CodeLastAdministrator) // a locked one does not count
		c.do(t, 200, "PATCH", "/accounts/"+uid, creds{"disabled": false})
		c.do(t, 204, "DELETE", "/accounts/"+me, nil)
		c.do(t, 401, "GET", "/auth/me", nil)
		for action, want := range map[string]int{"account.created": 2, "account.changed": 4, "account.deleted": 1} {
			if rows := w.trail.of(action); len(rows) != want {
				t.Errorf("%s: %d rows, want %d", action, len(rows), want)
			}
		}
	})
}

// Two administrators who lock each other out at the same moment: one of them stays.
func TestLastAdministratorRace(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.admin(t)
		ctx := withPrincipal(t.Context(), &principal{tokenUID: "local", name: "local-cli", privileges: Administrator.Privileges()})
		if _, err := w.CreateAccount(ctx, AccountSpec{Name: "bob", Role: Administrator, Password: password}); err != nil {
			t.Fatal(err)
		}
		page, err := w.Accounts(ctx, dbList())
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		errs := make([]error, len(page.Items))
		for i, a := range page.Items {
			wg.Go(func() { errs[i] = w.DeleteAccount(ctx, a.UID, "*") })
		}
		wg.Wait()
		kept := 0
		for _, err := range errs {
			if problem.Is(err, CodeLastAdministrator) {
				kept++
			} else if err != nil {
				t.Error(err)
			}
		}
		if kept != 1 {
			t.Errorf("%d kept, want 1", kept)
		}
	})
}

// A create that comes again because its answer was lost finds its own account.
func TestAccountRetry(t *testing.T) {
	w := lite(t)
	c := w.admin(t)
	var uids []any
	for range 2 {
		r := c.request("POST", "/accounts", creds{"name": "bob", "role": "auditor", "password": password})
		r.Header.Set("Idempotency-Key", "once")
		uids = append(uids, expect(t, c.send(r), 201)["uid"])
	}
	if uids[0] != uids[1] {
		t.Errorf("%v", uids)
	}
}

// Whoever slipped past Authorize, or calls from inside without saying who acts, may grant nothing.
func TestServiceDeniesByDefault(t *testing.T) {
	w := lite(t)
	w.admin(t)
	if _, err := w.CreateAccount(t.Context(), AccountSpec{Name: "bob", Role: Auditor, Password: password}); !problem.Is(err, problem.CodeForbidden) {
		t.Errorf("%v", err)
	}
	for _, p := range []string{"Share.Audit", "loggedIn", "", "nonsense"} {
		if err := w.Authorize(t.Context(), p); !problem.Is(err, problem.CodeUnauthenticated) {
			t.Errorf("%q for nobody: %v", p, err)
		}
	}
	ctx := withPrincipal(t.Context(), &principal{privileges: []string{"Share.Audit"}, foundAt: w.clock.Now()})
	for p, want := range map[string]bool{"Share.Audit": true, "loggedIn": true, "Share.Modify": false, "": false, "nonsense": false} {
		if err := w.Authorize(ctx, p); (err == nil) != want {
			t.Errorf("%q: %v", p, err)
		}
	}
}

// A stream that asks again while it runs learns that its login or token has ended, or may do less.
func TestAuthorizeLooksAgain(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		admin := w.admin(t)
		uid := admin.do(t, 201, "POST", "/accounts", creds{"name": "bob", "role": "administrator", "password": password})["uid"].(string)
		bob := w.client().login(t, "bob", password)
		secret, tokenUID := bob.newToken(t, "t", "Share.Audit", "Share.Modify")
		// enter returns the context that a handler of the client's request gets.
		enter := func(c *client) (ctx context.Context) {
			t.Helper()
			w.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { ctx = r.Context() })).
				ServeHTTP(httptest.NewRecorder(), c.request("GET", "/live", nil))
			return context.WithoutCancel(ctx)
		}
		session, token := enter(bob), enter(w.program(secret))
		ask := func(ctx context.Context, want bool) {
			t.Helper()
			if err := w.Authorize(ctx, "Share.Modify"); (err == nil) != want {
				t.Errorf("%v", err)
			}
		}
		w.clock.Advance(time.Minute)
		ask(session, true)
		ask(token, true)
		admin.do(t, 200, "PATCH", "/accounts/"+uid, creds{"role": "auditor"})
		ask(token, false)
		ask(session, false)
		if err := w.Authorize(token, "Share.Audit"); err != nil {
			t.Error(err)
		}
		if err := w.Authorize(session, "loggedIn"); !problem.Is(err, problem.CodeUnauthenticated) {
			t.Errorf("%v", err)
		}
		bob.login(t, "bob", password)
		session = enter(bob)
		w.clock.Advance(time.Minute)
		if err := w.Authorize(session, "loggedIn"); err != nil {
			t.Error(err)
		}
		bob.do(t, 204, "DELETE", "/tokens/"+tokenUID, nil)
		bob.do(t, 204, "POST", "/auth/logout", nil)
		for _, ctx := range []context.Context{session, token} {
			if err := w.Authorize(ctx, "loggedIn"); !problem.Is(err, problem.CodeUnauthenticated) {
				t.Errorf("%v", err)
			}
		}
	})
}

// A store that does not answer is no wrong password and no right one.
func TestStoreAway(t *testing.T) {
	w := lite(t)
	c := w.admin(t)
	token, _ := c.newToken(t, "t", "Share.Audit")
	if err := w.db.Close(); err != nil {
		t.Fatal(err)
	}
	for _, cl := range []*client{c, w.program(token)} {
		res := cl.send(cl.request("GET", "/shares", nil))
		if res.StatusCode != http.StatusInternalServerError && res.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("status %d", res.StatusCode)
		}
		if k := res.Cookies(); len(k) != 0 {
			t.Errorf("cookies %v: the login must outlive this", k)
		}
	}
}
