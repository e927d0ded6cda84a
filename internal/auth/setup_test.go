package auth

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/problem"
)

func TestFromSetupToLogout(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.client()
		if got := c.do(t, 200, "GET", "/auth/status", nil); got["setupRequired"] != true {
			t.Errorf("%v", got)
		}
		code(t, c.do(t, 401, "GET", "/auth/me", nil), "auth.unauthenticated")
		code(t, c.do(t, 401, "GET", "/shares", nil), "auth.unauthenticated")
		c = w.admin(t)
		if got := c.do(t, 200, "GET", "/auth/status", nil); got["setupRequired"] != false {
			t.Errorf("%v", got)
		}
		me := c.do(t, 200, "GET", "/auth/me", nil)
		if me["name"] != "Alice" || me["kind"] != "account" || me["role"] != "administrator" || len(me["privileges"].([]any)) != 14 {
			t.Errorf("%v", me)
		}
		if actor := c.do(t, 200, "POST", "/shares", nil); actor["kind"] != "account" || actor["name"] != "Alice" || actor["remoteAddr"] != "192.0.2.1" || actor["uid"] != me["uid"] {
			t.Errorf("actor %v", actor)
		}
		stolen := *c.cookies[SessionCookie]
		c.do(t, 204, "POST", "/auth/logout", nil)
		if len(c.cookies) != 0 {
			t.Errorf("cookies after logout: %v", c.cookies)
		}
		c.do(t, 401, "GET", "/auth/me", nil)
		c.cookies[SessionCookie] = &stolen
		c.do(t, 401, "GET", "/auth/me", nil)
		c.login(t, " aLICE ", password) // names are the same in any case
		c.do(t, 200, "GET", "/shares", nil)
		for action, want := range map[string]int{"account.created": 1, "auth.logged_in": 2, "auth.logged_out": 1} {
			rows := w.trail.of(action)
			if len(rows) != want {
				t.Errorf("%s: %d rows, want %d", action, len(rows), want)
				continue
			}
			if a := rows[0].Actor; a.Kind != "account" || a.Name != "Alice" || a.RemoteAddr != "192.0.2.1" {
				t.Errorf("%s by %+v", action, a)
			}
		}
	})
}

func TestSetupCode(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.client()
		try := func(want int, codeText string) map[string]any {
			t.Helper()
			return c.do(t, want, "POST", "/auth/setup", creds{"code": codeText, "name": "Alice", "password": password})
		}
		code(t, try(403, ""), CodeSetupCode) // before any code was made
		first, err := w.Bootstrap(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(first) != 19 {
			t.Errorf("code %q", first)
		}
		code(t, try(403, "0000-0000-0000-0000"), CodeSetupCode)
		second, err := w.Bootstrap(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		code(t, try(403, first), CodeSetupCode) // a restart renews it
		w.clock.Advance(SetupValid)
		code(t, try(403, second), CodeSetupCode) // expired
		third, err := w.Bootstrap(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		w.clock.Advance(SetupValid - time.Second)
		if out := c.do(t, 422, "POST", "/auth/setup", creds{"code": third, "name": "Alice", "password": "short"}); len(out["errors"].([]any)) != 1 {
			t.Errorf("%v", out)
		}
		c.do(t, 422, "POST", "/auth/setup", creds{"code": third, "name": "no/slash", "password": password})
		// A bad request does not use the code up; typing it carelessly is fine.
		try(200, " "+strings.ToLower(strings.ReplaceAll(third, "-", " ")))
		code(t, try(409, third), CodeSetupDone)
		if again, err := w.Bootstrap(t.Context()); err != nil || again != "" {
			t.Errorf("a code %q although there is an account, %v", again, err)
		}
		if n := len(w.trail.of("auth.setup_failed")); n == 0 {
			t.Error("failed attempts are not in the trail")
		}
	})
}

func TestSetupRace(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		setup, err := w.Bootstrap(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		errs := make([]error, 8)
		for i := range errs {
			wg.Go(func() {
				_, errs[i] = w.Setup(t.Context(), setup, "admin"+string(rune('a'+i)), password)
			})
		}
		wg.Wait()
		won := 0
		for _, err := range errs {
			switch {
			case err == nil:
				won++
			case !problem.Is(err, CodeSetupDone) && !problem.Is(err, CodeSetupCode):
				t.Error(err)
			}
		}
		page, err := w.Accounts(t.Context(), dbList())
		if err != nil {
			t.Fatal(err)
		}
		if won != 1 || page.Total != 1 {
			t.Errorf("%d set-ups won, %d accounts", won, page.Total)
		}
	})
}

// The command line makes an account while somebody holds a code: the code is then worth nothing.
func TestSetupAfterAccount(t *testing.T) {
	w := lite(t)
	setup, err := w.Bootstrap(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx := withPrincipal(t.Context(), &principal{tokenUID: "local", name: "local-cli", privileges: Administrator.Privileges()})
	if _, err := w.CreateAccount(ctx, AccountSpec{Name: "bob", Role: Auditor, Password: password}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Setup(t.Context(), setup, "mallory", password); !problem.Is(err, CodeSetupDone) {
		t.Errorf("%v", err)
	}
}
