package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/db"
	"github.com/pve-smb-gateway/smbgw/internal/event"
	"github.com/pve-smb-gateway/smbgw/internal/httpapi"
	"github.com/pve-smb-gateway/smbgw/internal/problem"
)

// Names that clients meet.
const (
	SessionCookie = "__Host-smbgw_session"
	CSRFCookie    = "smbgw_csrf"
	CSRFHeader    = "X-CSRF-Token"
)

// Middleware finds out who a request comes from and puts that into its context, for [Service.Authorize] and
// [event.ActorOf]. Requests without credentials pass on as nobody: operations deny them by default.
//
// A bad token is refused (401). A bad session cookie counts as none, so that one can log in again. What a browser sends
// along by itself is worth nothing for a change: that needs the same origin and the header X-CSRF-Token (403).
func (s *Service) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if secretive(r.URL.Path) {
			w.Header().Set("Cache-Control", "no-store") // nor kept for Idempotency-Key, in part or as a hash
		}
		v := visit{addr: host(r.RemoteAddr), userAgent: clip(r.UserAgent(), 200)}
		p, err := s.authenticate(r, &v)
		if err != nil {
			if db.IsUnavailable(err) {
				e := problem.New(http.StatusServiceUnavailable, problem.CodeUnavailable, "The database does not answer. Shares go on working; try again later.")
				e.Retryable = true
				err = e.Because(err)
			}
			e := problem.From(err)
			if e.Status == http.StatusUnauthorized {
				w.Header().Set("WWW-Authenticate", `Bearer realm="smbgw"`)
			}
			if e.Status >= http.StatusInternalServerError {
				s.log.ErrorContext(r.Context(), "the caller could not be found out", slog.Any("error", err))
			}
			httpapi.WriteProblem(w, r, e)
			return
		}
		ctx := context.WithValue(r.Context(), visitKey{}, v)
		if p != nil {
			ctx = withPrincipal(ctx, p)
		} else {
			ctx = event.WithActor(ctx, event.Actor{Kind: event.System.Kind, Name: "anonymous", RemoteAddr: v.addr})
		}
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// secretive reports whether requests or answers at path hold passwords, tokens or cookies.
func secretive(path string) bool {
	path, ok := strings.CutPrefix(path, httpapi.Prefix)
	return ok && (strings.HasPrefix(path, "/auth/") || strings.HasPrefix(path, "/accounts") || strings.HasPrefix(path, "/tokens"))
}

// entrance reports whether the request logs in, which one may do with a session cookie of any state.
func entrance(r *http.Request) bool {
	return r.Method == http.MethodPost && (r.URL.Path == httpapi.Prefix+"/auth/login" || r.URL.Path == httpapi.Prefix+"/auth/setup")
}

// authenticate returns nil for nobody. It completes v.
func (s *Service) authenticate(r *http.Request, v *visit) (*principal, error) {
	if header, ok := r.Header["Authorization"]; ok {
		return s.byToken(r, header, *v)
	}
	if (changes(r) || opensSocket(r)) && !sameOrigin(r) {
		return nil, problem.New(http.StatusForbidden, CodeCSRF, "This request comes from another web site. Open the console at its own address.")
	}
	cookies := r.CookiesNamed(SessionCookie)
	if len(cookies) == 0 {
		return nil, nil
	}
	v.session = cookies[0].Value
	if entrance(r) {
		return nil, nil
	}
	row, account, err := s.store.session(r.Context(), "hash", fingerprint(v.session))
	if err != nil {
		return nil, err
	}
	now := s.clock.Now()
	if len(cookies) > 1 || row == nil || row.ended(now) || account.Disabled {
		v.expired = true
		return nil, nil
	}
	if changes(r) && !csrfFits(r, v.session) {
		return nil, problem.New(http.StatusForbidden, CodeCSRF, "The header "+CSRFHeader+" is missing or wrong. Send the value of the cookie "+CSRFCookie+". Reloading the page helps.")
	}
	if now.Sub(row.LastSeenAt) >= touchSession {
		s.touched(r.Context(), s.db.Tx(r.Context(), func(ctx context.Context) error { return s.store.touchSession(ctx, row.UID, now) }))
	}
	return s.sessionPrincipal(row, account), nil
}

// touched logs that a last use could not be noted: a store that is full must not keep people from looking.
func (s *Service) touched(ctx context.Context, err error) {
	if err != nil && ctx.Err() == nil {
		s.log.WarnContext(ctx, "the last use of a login could not be noted", slog.Any("error", err))
	}
}

// byToken judges the header Authorization. Whatever is wrong, the answer is the same.
func (s *Service) byToken(r *http.Request, header []string, v visit) (*principal, error) {
	ctx := r.Context()
	bad := problem.New(http.StatusUnauthorized, problem.CodeUnauthenticated, "This API token is not valid: it is mistyped, expired or revoked, or its account is locked.")
	scheme, secret, _ := strings.Cut(header[0], " ")
	if secret = strings.TrimSpace(secret); len(header) != 1 || !strings.EqualFold(scheme, "Bearer") || !tokenForm.MatchString(secret) {
		return nil, bad
	}
	t, err := s.store.token(ctx, "hash", fingerprint(secret))
	if err != nil {
		return nil, err
	}
	if t == nil {
		return nil, bad
	}
	p, refused, err := s.tokenPrincipal(ctx, t)
	if err != nil {
		return nil, err
	}
	refused = refused || t.AccountUID == "" && !sameMachine(r)
	ctx = event.WithActor(context.WithValue(ctx, visitKey{}, v), p.actor(v))
	if refused {
		s.failed(ctx, event.Change{Action: "token.refused", Kind: "token", UID: t.UID, Name: t.Name})
		return nil, bad
	}
	if now := s.clock.Now(); now.Sub(t.LastUsedAt) >= touchToken {
		s.touched(ctx, s.useToken(ctx, t.UID, v.addr, now))
	}
	return p, nil
}

// tokenPrincipal returns who a token stands for, and whether it has ended or its owner may not log in. It has no more
// privileges than its owner has now.
func (s *Service) tokenPrincipal(ctx context.Context, t *tokenRow) (p *principal, refused bool, err error) {
	now := s.clock.Now()
	p = &principal{accountUID: t.AccountUID, tokenUID: t.UID, name: t.Owner + "/" + t.Name, foundAt: now}
	refused = !t.ExpiresAt.IsZero() && !now.Before(t.ExpiresAt)
	if t.AccountUID == "" {
		p.name, p.privileges = t.Name, Administrator.Privileges()
		return p, refused, nil
	}
	a, err := s.store.account(ctx, t.AccountUID)
	if problem.Is(err, "account.not_found") {
		return p, true, nil
	}
	if err != nil {
		return nil, true, err
	}
	p.privileges = intersect(t.Privileges, a.Role.Privileges())
	return p, refused || a.Disabled, nil
}

// useToken notes the use of a token; in the trail when it is the first in a while, or from another address.
func (s *Service) useToken(ctx context.Context, uid, addr string, now time.Time) error {
	return s.db.Tx(ctx, func(ctx context.Context) error {
		t, err := s.store.token(ctx, "uid", uid)
		if err != nil || t == nil || now.Sub(t.LastUsedAt) < touchToken { // another request was first
			return err
		}
		audit := now.Sub(t.AuditedAt) >= auditToken || t.LastUsedAddr != addr
		t.LastUsedAt, t.LastUsedAddr = now, addr
		if audit {
			t.AuditedAt = now
		}
		if err := s.store.updateToken(ctx, t); err != nil || !audit {
			return err
		}
		return s.trail.Append(ctx, event.Change{Action: "token.used", Kind: "token", UID: t.UID, Name: t.Name})
	})
}

// changes reports whether the request is one that may change something.
func changes(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return false
	}
	return true
}

// opensSocket reports whether the request opens a WebSocket, which browsers let any page do.
func opensSocket(r *http.Request) bool { return r.Header.Get("Upgrade") != "" }

// sameOrigin reports whether nothing speaks against the request coming from our own pages, or from no browser at all.
func sameOrigin(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" {
		return false
	}
	origin, ok := r.Header["Origin"]
	if !ok {
		return true
	}
	u, err := url.Parse(origin[0])
	return err == nil && len(origin) == 1 && u.Scheme == "https" && strings.EqualFold(u.Host, r.Host)
}

// csrfToken is derived from the session's secret: a cookie that another site has planted does not fit.
func csrfToken(session string) string {
	sum := sha256.Sum256([]byte("smbgw csrf\x00" + session))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func csrfFits(r *http.Request, session string) bool {
	want, header := csrfToken(session), r.Header.Get(CSRFHeader)
	c, err := r.Cookie(CSRFCookie)
	return err == nil && subtle.ConstantTimeCompare([]byte(header), []byte(want)) == 1 && subtle.ConstantTimeCompare([]byte(c.Value), []byte(want)) == 1
}

func cookies(session string) []http.Cookie {
	secs := int(SessionLife / time.Second)
	csrf := csrfToken(session)
	if session == "" {
		secs, csrf = -1, ""
	}
	return []http.Cookie{
		{Name: SessionCookie, Value: session, Path: "/", MaxAge: secs, Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode},
		{Name: CSRFCookie, Value: csrf, Path: "/", MaxAge: secs, Secure: true, SameSite: http.SameSiteStrictMode},
	}
}

func host(addr string) string {
	if h, _, err := net.SplitHostPort(addr); err == nil {
		return h
	}
	return addr
}

// network is what guesses are counted by: the address, or the /64 that an IPv6 customer has to himself.
func network(addr string) string {
	ip, err := netip.ParseAddr(addr)
	if err != nil {
		return addr
	}
	if ip = ip.Unmap().WithZone(""); ip.Is6() {
		return netip.PrefixFrom(ip, 64).Masked().String()
	}
	return ip.String()
}

// sameMachine reports whether the connection comes from the machine that it ends on.
func sameMachine(r *http.Request) bool {
	remote, err := netip.ParseAddr(host(r.RemoteAddr))
	if err != nil {
		return false
	}
	if remote.Unmap().IsLoopback() {
		return true
	}
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return ok && host(local.String()) == remote.String()
}

func clip(s string, n int) string {
	if len(s) > n {
		s = s[:n]
	}
	return strings.ToValidUTF8(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s), "")
}
