package auth

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Whoever guesses learns nothing from the answer, nor from the time: every attempt takes exactly one hash of the same costs.
func TestSameWorkForEveryName(t *testing.T) {
	w := lite(t)
	c := w.admin(t)
	c.do(t, 201, "POST", "/accounts", creds{"name": "locked", "role": "auditor", "password": password, "disabled": true})
	var hashes atomic.Int64
	var costs atomic.Value
	derive := w.hasher.derive
	w.hasher.derive = func(password, salt []byte, p params, size uint32) []byte {
		hashes.Add(1)
		costs.Store(fmt.Sprint(p, len(salt), size))
		return derive(password, salt, p, size)
	}
	var bodies []string
	for _, tc := range []struct{ name, password string }{
		{"Alice", other}, {"nobody", password}, {"locked", password}, {"locked", other}, {"' OR 1=1 --", password}, {"  ", "x"}, {"a\x00b", "x"},
	} {
		hashes.Store(0)
		res := w.client().send(w.client().request("POST", "/auth/login", creds{"name": tc.name, "password": tc.password}))
		out := expect(t, res, 401)
		delete(out, "requestID")
		raw, _ := json.Marshal(out)
		bodies = append(bodies, string(raw))
		if n := hashes.Load(); n != 1 {
			t.Errorf("%q: %d hashes, want 1", tc.name, n)
		}
		if got, want := costs.Load(), fmt.Sprint(cheap, saltSize, keySize); got != want {
			t.Errorf("%q: costs %v, want %s", tc.name, got, want)
		}
	}
	for _, b := range bodies {
		if b != bodies[0] {
			t.Errorf("answers differ: %s and %s", b, bodies[0])
		}
	}
}

func TestLoginLimitByName(t *testing.T) {
	w := lite(t)
	w.admin(t)
	tries := 0
	var res *http.Response
	for ; tries < 100; tries++ {
		c := w.client()
		c.addr = fmt.Sprintf("198.51.100.%d:1", tries) // from everywhere
		if res = c.send(c.request("POST", "/auth/login", creds{"name": "ALICE", "password": other})); res.StatusCode == 429 {
			break
		}
		expect(t, res, 401)
	}
	if tries != 10 {
		t.Errorf("%d guesses at once, want 10", tries)
	}
	out := expect(t, res, 429)
	code(t, out, "request.rate_limited")
	if out["retryable"] != true {
		t.Errorf("%v", out)
	}
	secs, err := strconv.Atoi(res.Header.Get("Retry-After"))
	if err != nil || secs < 1 || secs > 30 {
		t.Fatalf("Retry-After %q", res.Header.Get("Retry-After"))
	}
	// The right password does not help while the limit holds, or it would tell itself.
	w.client().do(t, 429, "POST", "/auth/login", creds{"name": "Alice", "password": password})
	w.clock.Advance(time.Duration(secs) * time.Second)
	w.client().login(t, "Alice", password)
	// Success costs nothing.
	for range 50 {
		w.client().login(t, "Alice", password)
	}
	if n := len(w.trail.of("auth.login_failed")); n != 10 {
		t.Errorf("%d failed logins in the trail, want 10", n)
	}
}

func TestLoginLimitByAddress(t *testing.T) {
	w := lite(t)
	w.admin(t)
	guess := func(i int, addr string) int {
		c := w.client()
		c.addr = addr
		return c.send(c.request("POST", "/auth/login", creds{"name": fmt.Sprintf("user%d", i), "password": other})).StatusCode
	}
	tries := 0
	for ; tries < 100 && guess(tries, fmt.Sprintf("[2001:db8:1:2::%x]:1", tries+1)) == 401; tries++ { // one /64 is one guesser
	}
	if tries != 20 {
		t.Errorf("%d guesses at once from one network, want 20", tries)
	}
	if got := guess(200, "[2001:db8:1:3::1]:1"); got != 401 {
		t.Errorf("another network: %d", got)
	}
	w.clock.Advance(10 * time.Second)
	if got := guess(201, "[2001:db8:1:2::99]:1"); got != 401 {
		t.Errorf("after the wait: %d", got)
	}
}

func TestFailuresInTrailAreBounded(t *testing.T) {
	w := lite(t)
	for i := range 200 {
		c := w.client()
		c.addr = fmt.Sprintf("198.51.%d.%d:1", i/250, i%250)
		c.do(t, 401, "POST", "/auth/login", creds{"name": fmt.Sprintf("user%d", i), "password": other})
	}
	if n := len(w.trail.of("auth.login_failed")); n != 60 {
		t.Errorf("%d rows, want 60", n)
	}
	for _, r := range w.trail.of("auth.login_failed") {
		if r.Name != "" {
			t.Fatalf("the unknown name %q was written down: it may be a password", r.Name)
		}
		if r.Actor.Name != "anonymous" || r.Actor.RemoteAddr == "" {
			t.Fatalf("actor %+v", r.Actor)
		}
	}
}

func TestFailedLoginIsAudited(t *testing.T) {
	w := lite(t)
	w.admin(t)
	w.client().do(t, 401, "POST", "/auth/login", creds{"name": "aLice", "password": other})
	rows := w.trail.of("auth.login_failed")
	if len(rows) != 1 || rows[0].Name != "Alice" || rows[0].UID == "" || rows[0].Actor.RemoteAddr != "192.0.2.1" {
		t.Errorf("%+v", rows)
	}
}

func TestSetupIsLimited(t *testing.T) {
	w := lite(t)
	if _, err := w.Bootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
	tries := 0
	for ; tries < 100; tries++ {
		c := w.client()
		c.addr = fmt.Sprintf("198.51.100.%d:1", tries)
		if c.send(c.request("POST", "/auth/setup", creds{"code": "x", "name": "a", "password": password})).StatusCode == 429 {
			break
		}
	}
	if tries != 10 {
		t.Errorf("%d guesses, want 10", tries)
	}
}

func TestRehash(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.admin(t)
		w.hasher = newHasher(params{memory: 16, time: 2, threads: 1})
		w.client().login(t, "Alice", password)
		if dump := w.dump(t); !strings.Contains(dump, "m=16,t=2,p=1") || strings.Contains(dump, "m=8,t=1,p=1") {
			t.Errorf("not hashed anew with the new costs: %s", dump)
		}
		w.client().login(t, "Alice", password)
		w.client().do(t, 401, "POST", "/auth/login", creds{"name": "Alice", "password": other})
	})
}

// No secret is found in the log, the trail, the store, or an answer other than the one that hands it out.
func TestNoSecretLeaks(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		setup, err := w.Bootstrap(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		const wrong, bobs = "a wrong Passw0rd guess", "bob's own long Passw0rd"
		secrets := []string{setup, strings.ReplaceAll(setup, "-", ""), password, other, wrong, bobs}
		var answers strings.Builder
		send := func(c *client, method, path string, body any, header ...string) map[string]any {
			t.Helper()
			r := c.request(method, path, body)
			for i := 0; i+1 < len(header); i += 2 {
				r.Header.Set(header[i], header[i+1])
			}
			res := c.send(r)
			raw, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			answers.Write(raw)
			var out map[string]any
			_ = json.Unmarshal(raw, &out) // some are empty
			if k := c.cookies[SessionCookie]; k != nil {
				secrets = append(secrets, k.Value, c.cookies[CSRFCookie].Value)
			}
			return out
		}
		c := w.client()
		send(c, "POST", "/auth/setup", creds{"code": setup, "name": "Alice", "password": password})
		send(c, "POST", "/auth/setup", creds{"code": setup, "name": "Alice", "password": password})
		send(w.client(), "POST", "/auth/login", creds{"name": "Alice", "password": wrong})
		send(w.client(), "POST", "/auth/login", creds{"name": wrong, "password": wrong})
		send(w.client(), "POST", "/auth/login", creds{"name": "Alice", "password": wrong, "surplus": wrong})
		send(w.client(), "POST", "/auth/login", creds{"name": "Alice", "password": []string{wrong}})
		send(c, "POST", "/auth/password", creds{"current": wrong, "new": other})
		send(c, "POST", "/auth/password", creds{"current": password, "new": other}, "Idempotency-Key", "key-1")
		bob := send(c, "POST", "/accounts", creds{"name": "bob", "role": "auditor", "password": bobs}, "Idempotency-Key", "key-2")
		send(c, "POST", "/accounts", creds{"name": "bob", "role": "auditor", "password": bobs}, "Idempotency-Key", "key-3") // name taken
		send(c, "PATCH", "/accounts/"+bob["uid"].(string), creds{"password": bobs + "!"})
		send(c, "GET", "/accounts", nil)
		made := send(c, "POST", "/tokens", map[string]any{"name": "t", "privileges": []string{"Share.Audit"}}, "Idempotency-Key", "key-4")
		token := made["secret"].(string)
		hidden := strings.ReplaceAll(answers.String(), token, "")
		answers.Reset()
		answers.WriteString(hidden)
		secrets = append(secrets, token, strings.TrimPrefix(token, tokenPrefix))
		send(c, "GET", "/tokens", nil)
		send(w.program(token), "GET", "/shares", nil)
		send(w.program(token+"x"), "GET", "/shares", nil)
		send(c, "POST", "/auth/logout", nil)

		var trail strings.Builder
		for _, r := range w.trail.rows {
			raw, err := json.Marshal([]any{r.Change, r.Actor})
			if err != nil {
				t.Fatal(err)
			}
			trail.Write(raw)
		}
		stored := w.dump(t)
		if !strings.Contains(stored, "$argon2id$") || !strings.Contains(trail.String(), "account.created") || w.log.Len() == 0 {
			t.Fatal("the places to look at are empty")
		}
		for place, text := range map[string]string{"log": w.log.String(), "trail": trail.String(), "store": stored, "answers": answers.String()} {
			for _, s := range secrets {
				if strings.Contains(text, s) {
					t.Errorf("the secret %q is in the %s", s, place)
				}
			}
			if place != "store" && strings.Contains(text, "argon2id") {
				t.Errorf("a password hash is in the %s", place)
			}
		}
		// A kept answer would come with a fast hash of the request, password included.
		if strings.Contains(stored, `httpapi_request: [{`) {
			t.Errorf("an answer was kept: %s", stored)
		}
	})
}

func TestLimiterMemory(t *testing.T) {
	w := lite(t)
	l := newLimiter(w.clock, 3, time.Second)
	l.max = 100
	allowed := 0
	for i := range 1000 {
		if l.take(strconv.Itoa(i)) == 0 {
			allowed++
		}
	}
	if len(l.buckets) > l.max+1 || allowed != 103 {
		t.Errorf("%d buckets, %d allowed, want at most 101 and 103", len(l.buckets), allowed)
	}
	w.clock.Advance(time.Minute)
	if l.take("new") != 0 || len(l.buckets) != 1 {
		t.Errorf("full buckets are not forgotten: %d", len(l.buckets))
	}
}

func TestLimiterTime(t *testing.T) {
	w := lite(t)
	l := newLimiter(w.clock, 2, 10*time.Second)
	for range 2 {
		if l.take("a") != 0 {
			t.Fatal("burst")
		}
	}
	if got := l.take("a"); got != 10*time.Second {
		t.Errorf("wait %v", got)
	}
	w.clock.Advance(4 * time.Second)
	if got := l.take("a"); got != 6*time.Second {
		t.Errorf("wait %v", got)
	}
	if l.take("b") != 0 {
		t.Error("another key waits, too")
	}
	l.giveBack("a")
	l.giveBack("a")
	l.giveBack("a")
	if waits := []time.Duration{l.take("a"), l.take("a"), l.take("a")}; waits[0] != 0 || waits[1] != 0 || waits[2] == 0 {
		t.Error("more was given back than there is room for")
	}
}

func TestNetwork(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "2001:db8::1": "2001:db8::/64", "fe80::1%eth0": "fe80::/64", "@": "@",
	} {
		if got := network(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}
