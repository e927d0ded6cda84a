package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base32"
	"net/http"
	"strings"

	"github.com/pve-smb-gateway/smbgw/internal/event"
	"github.com/pve-smb-gateway/smbgw/internal/object"
	"github.com/pve-smb-gateway/smbgw/internal/problem"
)

// crockford has no letters that people take for others.
var crockford = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// Bootstrap returns a new code for the first set-up, valid once and for [SetupValid]; codes made before stop working.
// It returns "" when there is an account already. The code is for the eyes of whoever started the server.
func (s *Service) Bootstrap(ctx context.Context) (code string, err error) {
	raw := make([]byte, 10)
	_, _ = rand.Read(raw) // never fails (crypto/rand)
	plain := crockford.EncodeToString(raw)
	code = plain[:4] + "-" + plain[4:8] + "-" + plain[8:12] + "-" + plain[12:]
	err = s.db.Tx(ctx, func(ctx context.Context) error {
		if _, err := s.store.lock(ctx); err != nil {
			return err
		}
		n, err := s.store.accounts(ctx)
		if err != nil {
			return err
		}
		if n > 0 {
			code = ""
			return nil
		}
		return s.store.setSetup(ctx, fingerprint(plain), s.clock.Now().Add(SetupValid))
	})
	if err != nil {
		return "", err
	}
	return code, nil
}

// normalCode forgives how people type.
func normalCode(code string) string {
	return strings.NewReplacer("-", "", " ", "", "O", "0", "I", "1", "L", "1").Replace(strings.ToUpper(strings.TrimSpace(code)))
}

// setupName is what guesses of the code are counted under; no account can have it.
const setupName = "\x00setup"

// SetupRequired reports whether there is no account yet.
func (s *Service) SetupRequired(ctx context.Context) (bool, error) {
	n, err := s.store.accounts(ctx)
	return n == 0, err
}

// checkCode judges a code against what is stored, as a problem.
func (s *Service) checkCode(ctx context.Context, state stateRow, code string) error {
	n, err := s.store.accounts(ctx)
	if err != nil {
		return err
	}
	if n > 0 {
		return problem.New(http.StatusConflict, CodeSetupDone, "The first account exists already. Log in with it.")
	}
	if state.SetupHash == "" || !s.clock.Now().Before(state.SetupExpiresAt) ||
		subtle.ConstantTimeCompare([]byte(fingerprint(normalCode(code))), []byte(state.SetupHash)) != 1 {
		const detail = "This code is wrong or older than 15 minutes. Restart smbgw: it prints a new one."
		e := forbidden(detail)
		e.Code = CodeSetupCode
		e.Fields = []problem.Field{{Pointer: "/code", Code: CodeSetupCode, Detail: detail}}
		return e
	}
	return nil
}

// Setup makes the first administrator and logs in. Of several at once with the same code, one wins.
func (s *Service) Setup(ctx context.Context, code, name, password string) (Login, error) {
	name = normalName(name)
	if bad := append(checkName(name), checkPassword("/password", name, password)...); len(bad) > 0 {
		return Login{}, problem.Invalid(bad...)
	}
	done, err := s.attempt(ctx, setupName)
	if err != nil {
		return Login{}, err
	}
	// A wrong code is refused before the costly hash; the right one is checked again below, under the lock.
	state, err := s.store.state(ctx)
	if err != nil {
		return Login{}, err
	}
	if err := s.checkCode(ctx, state, code); err != nil {
		s.failed(ctx, event.Change{Action: "auth.setup_failed", Kind: "account"})
		return Login{}, err
	}
	hash, err := s.hasher.hash(ctx, password)
	if err != nil {
		return Login{}, err
	}
	now := s.clock.Now()
	a := &accountRow{
		UID: object.NewUID(), Name: name, NameKey: nameKey(name), Role: Administrator, PasswordHash: hash,
		Generation: 1, Revision: 1, CreatedAt: now, UpdatedAt: now, LastLoginAt: now,
	}
	login := s.newLogin(ctx, a)
	err = s.db.Tx(ctx, func(ctx context.Context) error {
		state, err := s.store.lock(ctx)
		if err != nil {
			return err
		}
		if err := s.checkCode(ctx, state, code); err != nil {
			return err
		}
		ctx = withPrincipal(ctx, login.principal)
		if err := s.store.insert(ctx, a); err != nil {
			return err
		}
		if err := s.store.setSetup(ctx, "", now.Add(-SetupValid)); err != nil {
			return err
		}
		if err := s.recordAccount(ctx, "account.created", nil, a); err != nil {
			return err
		}
		return s.begin(ctx, login)
	})
	if err != nil {
		return Login{}, err
	}
	done(true)
	return login, nil
}
