package client

import (
	"context"
	"net/http"
	"strings"
	"time"
)

// Identity is who the server takes the caller for.
type Identity struct {
	UID        string   `json:"uid"`
	Name       string   `json:"name"`
	Kind       string   `json:"kind"` // account or token
	Role       string   `json:"role,omitempty"`
	Privileges []string `json:"privileges"`
}

// TokenSpec is what clients write of an API token.
type TokenSpec struct {
	Name       string     `json:"name"`
	Privileges []string   `json:"privileges"`
	ExpiresAt  *time.Time `json:"expiresAt,omitempty"`
}

// Token is an API token. Secret is there only in the answer to its creation.
type Token struct {
	Meta
	Name         string     `json:"name"`
	Privileges   []string   `json:"privileges"`
	ExpiresAt    *time.Time `json:"expiresAt,omitempty"`
	Owner        string     `json:"owner"`
	OwnerUID     string     `json:"ownerUID,omitempty"`
	LastUsedAt   *time.Time `json:"lastUsedAt,omitempty"`
	LastUsedAddr string     `json:"lastUsedAddr,omitempty"`
	Secret       string     `json:"secret,omitempty"`
}

// AccountSpec is what clients write of an account.
type AccountSpec struct {
	Name     string `json:"name"`
	Role     string `json:"role"` // administrator or auditor
	Disabled bool   `json:"disabled,omitempty"`
	// Password stays as it is when empty. It is never returned.
	Password string `json:"password,omitempty"`
}

// Account is a person who may use the console and the API; not to be confused with a [User] of Samba.
type Account struct {
	Meta
	Name        string     `json:"name"`
	Role        string     `json:"role"`
	Disabled    bool       `json:"disabled"`
	LastLoginAt *time.Time `json:"lastLoginAt,omitempty"`
}

// Accounts returns the accounts.
func (c *Client) Accounts() *Collection[AccountSpec, Account] {
	return &Collection[AccountSpec, Account]{c: c, kind: "account", path: "/accounts", names: func(a Account) (string, string) { return a.UID, a.Name }}
}

// Tokens returns the API tokens; they can be listed, created and deleted.
func (c *Client) Tokens() *Collection[TokenSpec, Token] {
	return &Collection[TokenSpec, Token]{c: c, kind: "token", path: "/tokens", names: func(t Token) (string, string) { return t.UID, t.Name }}
}

// Me returns who the server takes the caller for.
func (c *Client) Me(ctx context.Context) (Identity, error) {
	var i Identity
	err := c.do(ctx, call{method: http.MethodGet, path: "/auth/me", into: &i})
	return i, err
}

// Login opens a login session, which later calls use. Use it to create a token, then [Client.Logout].
func (c *Client) Login(ctx context.Context, name, password string) error {
	c.open()
	return c.do(ctx, call{method: http.MethodPost, path: "/auth/login", body: map[string]string{"name": name, "password": password}})
}

// Setup makes the first administrator, with the code that the server printed at its start, and opens a login session.
func (c *Client) Setup(ctx context.Context, code, name, password string) error {
	c.open()
	return c.do(ctx, call{method: http.MethodPost, path: "/auth/setup", body: map[string]string{"code": code, "name": name, "password": password}})
}

// open makes later calls keep cookies.
func (c *Client) open() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session = &session{cookies: map[string]string{}}
}

// Logout ends the login session.
func (c *Client) Logout(ctx context.Context) error {
	err := c.do(ctx, call{method: http.MethodPost, path: "/auth/logout"})
	c.mu.Lock()
	c.session = nil
	c.mu.Unlock()
	return err
}

// session holds the cookies of a login.
type session struct{ cookies map[string]string }

const csrfCookie = "smbgw_csrf"

func (s *session) header(h http.Header, method string) {
	var parts []string
	for name, value := range s.cookies {
		parts = append(parts, name+"="+value)
		if strings.HasSuffix(name, csrfCookie) && method != http.MethodGet {
			h.Set("X-CSRF-Token", value)
		}
	}
	if len(parts) > 0 {
		h.Set("Cookie", strings.Join(parts, "; "))
	}
}

// remember keeps the cookies of an answer while a login session is open.
func (c *Client) remember(res *http.Response) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session == nil {
		return
	}
	for _, cookie := range res.Cookies() {
		if cookie.MaxAge < 0 || cookie.Value == "" {
			delete(c.session.cookies, cookie.Name)
		} else {
			c.session.cookies[cookie.Name] = cookie.Value
		}
	}
}
