package auth

import (
	"context"
	"fmt"
	"net/http"

	"github.com/pve-smb-gateway/smbgw/internal/db"
	"github.com/pve-smb-gateway/smbgw/internal/event"
	"github.com/pve-smb-gateway/smbgw/internal/object"
	"github.com/pve-smb-gateway/smbgw/internal/problem"
)

var accountFields = db.Fields{
	Columns: map[string]string{"name": "name_key", "role": "role", "disabled": "disabled", "createdAt": "created_at", "updatedAt": "updated_at"},
	Search:  []string{"name_key", "role"}, Default: "name", UID: "uid",
}

// Accounts returns one page of accounts.
func (s *Service) Accounts(ctx context.Context, q db.ListQuery) (page db.Page[Account], err error) {
	err = s.db.Read(ctx, func(ctx context.Context) error {
		var rows []accountRow
		next, total, err := db.List(ctx, s.db.Conn(ctx).NewSelect().Model(&rows), accountFields, q, &rows, func(r *accountRow, field string) any {
			return map[string]any{
				"uid": r.UID, "name": r.NameKey, "role": r.Role, "disabled": r.Disabled, "createdAt": r.CreatedAt, "updatedAt": r.UpdatedAt,
			}[field]
		})
		if err != nil {
			return err
		}
		page = db.Page[Account]{Items: []Account{}, NextCursor: next, Total: total}
		for i := range rows {
			page.Items = append(page.Items, rows[i].account())
		}
		return nil
	})
	return page, err
}

// Account returns one account.
func (s *Service) Account(ctx context.Context, uid string) (Account, error) {
	r, err := s.store.account(ctx, uid)
	if err != nil {
		return Account{}, err
	}
	return r.account(), nil
}

// CreateAccount makes an account with at most the caller's privileges.
func (s *Service) CreateAccount(ctx context.Context, spec AccountSpec) (Account, error) {
	spec.Name = normalName(spec.Name)
	if bad := append(checkName(spec.Name), checkPassword("/password", spec.Name, spec.Password)...); len(bad) > 0 {
		return Account{}, problem.Invalid(bad...)
	}
	if err := mayGrant(ctx, spec.Role); err != nil {
		return Account{}, err
	}
	hash, err := s.hasher.hash(ctx, spec.Password)
	if err != nil {
		return Account{}, err
	}
	now := s.clock.Now()
	a := &accountRow{
		UID: object.UID(ctx), Name: spec.Name, NameKey: nameKey(spec.Name), Role: spec.Role, Disabled: spec.Disabled, PasswordHash: hash,
		Generation: 1, Revision: 1, CreatedAt: now, UpdatedAt: now,
	}
	err = s.db.Tx(ctx, func(ctx context.Context) error {
		if _, err := s.store.lock(ctx); err != nil { // a first set-up at the same moment sees this account
			return err
		}
		// The same request once more, after a crash that lost its answer.
		if known, err := s.store.account(ctx, a.UID); err == nil {
			a = known
			return nil
		} else if !problem.Is(err, "account.not_found") {
			return err
		}
		if err := s.store.insert(ctx, a); err != nil {
			return nameTaken(err, a.Name)
		}
		return s.recordAccount(ctx, "account.created", nil, a)
	})
	if err != nil {
		return Account{}, err
	}
	return a.account(), nil
}

// UpdateAccount replaces the spec of an account. A new password, role or lock ends its sessions.
func (s *Service) UpdateAccount(ctx context.Context, uid, ifMatch string, spec AccountSpec) (Account, error) {
	spec.Name = normalName(spec.Name)
	bad := checkName(spec.Name)
	hash := ""
	if spec.Password != "" {
		if principalOf(ctx).accountUID == uid {
			bad = append(bad, problem.Field{Pointer: "/password", Code: problem.CodeInvalid, Detail: "Change your own password with POST /auth/password, which asks for the current one."})
		}
		bad = append(bad, checkPassword("/password", spec.Name, spec.Password)...)
	}
	if len(bad) > 0 {
		return Account{}, problem.Invalid(bad...)
	}
	if spec.Password != "" {
		var err error
		if hash, err = s.hasher.hash(ctx, spec.Password); err != nil {
			return Account{}, err
		}
	}
	var a *accountRow
	err := s.db.Tx(ctx, func(ctx context.Context) error {
		before, err := s.changeable(ctx, uid, ifMatch)
		if err != nil {
			return err
		}
		if err := mayGrant(ctx, spec.Role); err != nil {
			return err
		}
		after := *before
		after.Name, after.NameKey, after.Role, after.Disabled = spec.Name, nameKey(spec.Name), spec.Role, spec.Disabled
		if hash != "" {
			after.PasswordHash = hash
		}
		a = &after
		if after == *before {
			return nil
		}
		if after.Role != Administrator || after.Disabled {
			if err := s.keepAdministrator(ctx, before); err != nil {
				return err
			}
		}
		after.Generation++
		after.Revision++
		after.UpdatedAt = s.clock.Now()
		if err := s.store.updateAccount(ctx, a); err != nil {
			return nameTaken(err, a.Name)
		}
		if hash != "" || after.Role != before.Role || after.Disabled != before.Disabled {
			if err := s.store.deleteSessions(ctx, uid); err != nil {
				return err
			}
		}
		return s.recordAccount(ctx, "account.changed", before, a)
	})
	if err != nil {
		return Account{}, err
	}
	return a.account(), nil
}

// DeleteAccount removes an account, its sessions and its tokens.
func (s *Service) DeleteAccount(ctx context.Context, uid, ifMatch string) error {
	return s.db.Tx(ctx, func(ctx context.Context) error {
		before, err := s.changeable(ctx, uid, ifMatch)
		if err != nil {
			return err
		}
		if err := s.keepAdministrator(ctx, before); err != nil {
			return err
		}
		var tokens []tokenRow
		if err := s.store.tokens(ctx, &tokens).Where("t.account_uid = ?", uid).Scan(ctx); err != nil {
			return err
		}
		for i := range tokens {
			if err := s.revoke(ctx, &tokens[i]); err != nil {
				return err
			}
		}
		if err := s.store.deleteSessions(ctx, uid); err != nil {
			return err
		}
		if err := s.store.deleteAccount(ctx, uid); err != nil {
			return err
		}
		return s.recordAccount(ctx, "account.deleted", before, nil)
	})
}

// changeable returns the account, locked, if it is as the caller has seen it and holds no more than the caller does.
func (s *Service) changeable(ctx context.Context, uid, ifMatch string) (*accountRow, error) {
	if _, err := s.store.lock(ctx); err != nil {
		return nil, err
	}
	a, err := s.store.account(ctx, uid)
	if err != nil {
		return nil, err
	}
	if err := a.account().Match(ifMatch); err != nil {
		return nil, err
	}
	return a, mayGrant(ctx, a.Role)
}

// mayGrant refuses to let callers, scoped tokens among them, make or change an account that may do more than they.
func mayGrant(ctx context.Context, r Role) error {
	if covers(principalOf(ctx).privileges, r.Privileges()) {
		return nil
	}
	return forbidden(fmt.Sprintf("An account with the role %s may do more than you. Ask an administrator.", r))
}

// keepAdministrator refuses to take the last administrator away.
func (s *Service) keepAdministrator(ctx context.Context, a *accountRow) error {
	if a.Role != Administrator || a.Disabled {
		return nil
	}
	n, err := s.store.otherAdministrators(ctx, a.UID)
	if err == nil && n == 0 {
		return problem.New(http.StatusConflict, CodeLastAdministrator, "This is the last administrator who can log in. Make another one first.")
	}
	return err
}

func nameTaken(err error, name string) error {
	if !db.IsUnique(err) {
		return err
	}
	return problem.Conflict("/name", CodeNameTaken, fmt.Sprintf("There is an account %q already. Choose another name.", name))
}

func (s *Service) recordAccount(ctx context.Context, action string, before, after *accountRow) error {
	it := after
	if it == nil {
		it = before
	}
	c := event.Change{Action: action, Kind: "account", UID: it.UID, Name: it.Name, Revision: it.Revision}
	if before != nil {
		c.Before = before.account()
	}
	if after != nil {
		c.After = after.account()
	}
	return s.recorder.Record(ctx, c)
}
