package auth

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"

	"github.com/pve-smb-gateway/smbgw/internal/db"
	"github.com/pve-smb-gateway/smbgw/internal/event"
	"github.com/pve-smb-gateway/smbgw/internal/object"
	"github.com/pve-smb-gateway/smbgw/internal/problem"
)

// tokenPrefix lets people and secret scanners recognise a token.
const tokenPrefix = "smbgw_"

var tokenForm = regexp.MustCompile(`^smbgw_[A-Za-z0-9_-]{43}$`)

var tokenFields = db.Fields{
	Columns: map[string]string{"name": "name_key", "ownerUID": "account_uid", "createdAt": "created_at"},
	Search:  []string{"name_key"}, Default: "name", UID: "uid",
}

// seesAll reports whether the caller may see the tokens of others.
func seesAll(p *principal) bool { return slices.Contains(p.privileges, "Auth.Audit") }

// Tokens returns one page of the caller's tokens; of all tokens for holders of Auth.Audit.
func (s *Service) Tokens(ctx context.Context, q db.ListQuery) (page db.Page[Token], err error) {
	p := principalOf(ctx)
	err = s.db.Read(ctx, func(ctx context.Context) error {
		var rows []tokenRow
		sel := s.store.tokens(ctx, &rows)
		if !seesAll(p) {
			sel = sel.Where("account_uid = ? AND account_uid <> ''", p.accountUID)
		}
		next, total, err := db.List(ctx, sel, tokenFields, q, &rows, func(r *tokenRow, field string) any {
			return map[string]any{"uid": r.UID, "name": r.NameKey, "ownerUID": r.AccountUID, "createdAt": r.CreatedAt}[field]
		})
		if err != nil {
			return err
		}
		page = db.Page[Token]{Items: []Token{}, NextCursor: next, Total: total}
		for i := range rows {
			page.Items = append(page.Items, rows[i].token())
		}
		return nil
	})
	return page, err
}

// visibleToken returns a token that the caller may see.
func (s *Service) visibleToken(ctx context.Context, uid string) (*tokenRow, error) {
	p := principalOf(ctx)
	r, err := s.store.token(ctx, "uid", uid)
	if err == nil && (r == nil || !seesAll(p) && (r.AccountUID == "" || r.AccountUID != p.accountUID)) {
		err = problem.NotFound("token", uid)
	}
	return r, err
}

// Token returns one token, without its secret.
func (s *Service) Token(ctx context.Context, uid string) (Token, error) {
	r, err := s.visibleToken(ctx, uid)
	if err != nil {
		return Token{}, err
	}
	return r.token(), nil
}

// CreateToken makes a token of the caller's account with at most the caller's privileges. Only the answer has the secret.
func (s *Service) CreateToken(ctx context.Context, spec TokenSpec) (Token, error) {
	p, now := principalOf(ctx), s.clock.Now()
	spec.Name = normalName(spec.Name)
	if p.accountUID == "" {
		return Token{}, problem.New(http.StatusConflict, CodeTokenOwner, "A token belongs to an account. Make an account, then log in with it to make the token.")
	}
	if bad := checkName(spec.Name); bad != nil {
		return Token{}, problem.Invalid(bad...)
	}
	if err := checkPrivileges(p.privileges, spec.Privileges); err != nil {
		return Token{}, err
	}
	secret := tokenPrefix + newSecret()
	r := &tokenRow{
		UID: object.UID(ctx), Hash: fingerprint(secret), AccountUID: p.accountUID, Name: spec.Name, NameKey: nameKey(spec.Name),
		Privileges: slices.Sorted(slices.Values(spec.Privileges)), CreatedAt: now,
	}
	if spec.ExpiresAt != nil {
		if !spec.ExpiresAt.After(now) {
			return Token{}, problem.Invalid(problem.Field{Pointer: "/expiresAt", Code: CodeTokenExpiry, Detail: "This time has passed already. Choose a later one."})
		}
		r.ExpiresAt = spec.ExpiresAt.UTC()
	}
	err := s.db.Tx(ctx, func(ctx context.Context) error {
		if _, err := s.store.lock(ctx); err != nil { // not for an account that is just being deleted
			return err
		}
		owner, err := s.store.account(ctx, p.accountUID)
		if err != nil {
			return err
		}
		r.Owner = owner.Name
		if err := checkPrivileges(owner.Role.Privileges(), spec.Privileges); err != nil {
			return err
		}
		// The same request once more, after a crash that lost its answer: nobody has the first secret.
		if known, err := s.store.token(ctx, "uid", r.UID); err != nil {
			return err
		} else if known != nil {
			return s.store.updateToken(ctx, r)
		}
		if err := s.store.insert(ctx, r); err != nil {
			if db.IsUnique(err) {
				return problem.Conflict("/name", CodeTokenNameTaken, fmt.Sprintf("You have a token %q already. Choose another name.", spec.Name))
			}
			return err
		}
		return s.recordToken(ctx, "token.created", nil, r)
	})
	if err != nil {
		return Token{}, err
	}
	t := r.token()
	t.Secret = secret
	return t, nil
}

// RevokeToken makes a token stop working at once. People may revoke their own; a token revokes, and holders of
// Auth.Modify revoke for others, only what has no more privileges than they.
func (s *Service) RevokeToken(ctx context.Context, uid, ifMatch string) error {
	p := principalOf(ctx)
	return s.db.Tx(ctx, func(ctx context.Context) error {
		r, err := s.visibleToken(ctx, uid)
		if err != nil {
			return err
		}
		if err := r.token().Match(ifMatch); err != nil {
			return err
		}
		own := p.sessionUID != "" && r.AccountUID == p.accountUID
		allowed := r.AccountUID == p.accountUID || slices.Contains(p.privileges, "Auth.Modify")
		if !own && (!allowed || !covers(p.privileges, r.Privileges)) {
			return forbidden("This token is not yours, or may do more than you. Ask an administrator.")
		}
		return s.revoke(ctx, r)
	})
}

func (s *Service) revoke(ctx context.Context, r *tokenRow) error {
	if err := s.store.deleteToken(ctx, r.UID); err != nil {
		return err
	}
	return s.recordToken(ctx, "token.revoked", r, nil)
}

func (s *Service) recordToken(ctx context.Context, action string, before, after *tokenRow) error {
	it := after
	if it == nil {
		it = before
	}
	c := event.Change{Action: action, Kind: "token", UID: it.UID, Name: it.Name, Revision: 1}
	if before != nil {
		c.Before = before.token()
	}
	if after != nil {
		c.After = after.token()
	}
	return s.recorder.Record(ctx, c)
}
