package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/db"
	"github.com/pve-smb-gateway/smbgw/internal/object"
	"github.com/pve-smb-gateway/smbgw/internal/problem"
	"github.com/uptrace/bun"
)

//go:embed migrations/*.sql
var files embed.FS

// Migrations make the tables of this room.
var Migrations = db.Migrations{Room: "auth", FS: files}

// newSecret returns 256 random bits as text.
func newSecret() string {
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(raw)
}

// fingerprint is what is stored of a secret. A plain hash is enough for secrets that cannot be guessed.
func fingerprint(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

type accountRow struct {
	bun.BaseModel `bun:"table:auth_account"`
	UID           string    `bun:"uid,pk"`
	Name          string    `bun:"name"`
	NameKey       string    `bun:"name_key"`
	Role          Role      `bun:"role"`
	Disabled      bool      `bun:"disabled"`
	PasswordHash  string    `bun:"password_hash"`
	Generation    int64     `bun:"generation"`
	Revision      int64     `bun:"revision"`
	CreatedAt     time.Time `bun:"created_at"`
	UpdatedAt     time.Time `bun:"updated_at"`
	LastLoginAt   time.Time `bun:"last_login_at,nullzero"`
}

func (r *accountRow) account() Account {
	return Account{
		Meta:        object.Meta{UID: r.UID, Generation: r.Generation, Revision: r.Revision, CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC()},
		AccountSpec: AccountSpec{Name: r.Name, Role: r.Role, Disabled: r.Disabled},
		LastLoginAt: moment(r.LastLoginAt),
	}
}

func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

type sessionRow struct {
	bun.BaseModel `bun:"table:auth_session"`
	UID           string    `bun:"uid,pk"`
	Hash          string    `bun:"hash"`
	AccountUID    string    `bun:"account_uid"`
	RemoteAddr    string    `bun:"remote_addr"`
	UserAgent     string    `bun:"user_agent"`
	CreatedAt     time.Time `bun:"created_at"`
	LastSeenAt    time.Time `bun:"last_seen_at"`
	ExpiresAt     time.Time `bun:"expires_at"`
}

func (r *sessionRow) ended(now time.Time) bool {
	return !now.Before(r.ExpiresAt) || now.Sub(r.LastSeenAt) >= SessionIdle
}

type tokenRow struct {
	bun.BaseModel `bun:"table:auth_token,alias:t"`
	UID           string    `bun:"uid,pk"`
	Hash          string    `bun:"hash"`
	AccountUID    string    `bun:"account_uid"`
	Name          string    `bun:"name"`
	NameKey       string    `bun:"name_key"`
	Privileges    []string  `bun:"privileges,type:text"`
	CreatedAt     time.Time `bun:"created_at"`
	ExpiresAt     time.Time `bun:"expires_at,nullzero"`
	LastUsedAt    time.Time `bun:"last_used_at,nullzero"`
	LastUsedAddr  string    `bun:"last_used_addr"`
	AuditedAt     time.Time `bun:"audited_at,nullzero"`
	Owner         string    `bun:"owner,scanonly"`
}

func (r *tokenRow) token() Token {
	return Token{
		Meta:      object.Meta{UID: r.UID, Generation: 1, Revision: 1, CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.CreatedAt.UTC()},
		TokenSpec: TokenSpec{Name: r.Name, Privileges: r.Privileges, ExpiresAt: moment(r.ExpiresAt)},
		Owner:     r.Owner, OwnerUID: r.AccountUID, LastUsedAt: moment(r.LastUsedAt), LastUsedAddr: r.LastUsedAddr,
	}
}

type stateRow struct {
	SetupHash      string    `bun:"setup_hash"`
	SetupExpiresAt time.Time `bun:"setup_expires_at,nullzero"`
}

type store struct{ db *db.DB }

// lock puts everything that changes accounts in order, until the transaction ends.
func (s store) lock(ctx context.Context) (state stateRow, err error) {
	err = s.db.Conn(ctx).NewRaw("UPDATE auth_state SET changes = changes + 1 WHERE id = 1 RETURNING setup_hash, setup_expires_at").Scan(ctx, &state)
	return state, err
}

func (s store) state(ctx context.Context) (state stateRow, err error) {
	err = s.db.Conn(ctx).NewRaw("SELECT setup_hash, setup_expires_at FROM auth_state WHERE id = 1").Scan(ctx, &state)
	return state, err
}

func (s store) setSetup(ctx context.Context, hash string, expires time.Time) error {
	_, err := s.db.Conn(ctx).NewRaw("UPDATE auth_state SET setup_hash = ?, setup_expires_at = ? WHERE id = 1", hash, bun.NullTime{Time: expires}).Exec(ctx)
	return err
}

func (s store) accounts(ctx context.Context) (int, error) {
	n, err := s.db.Conn(ctx).NewSelect().Model((*accountRow)(nil)).Count(ctx)
	return int(n), err
}

// otherAdministrators counts those who could still administer without the account uid.
func (s store) otherAdministrators(ctx context.Context, uid string) (int, error) {
	n, err := s.db.Conn(ctx).NewSelect().Model((*accountRow)(nil)).
		Where("role = ? AND NOT disabled AND uid <> ?", Administrator, uid).Count(ctx)
	return int(n), err
}

func (s store) account(ctx context.Context, uid string) (*accountRow, error) {
	var r accountRow
	err := s.db.Conn(ctx).NewSelect().Model(&r).Where("uid = ?", uid).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, problem.NotFound("account", uid)
	}
	return &r, err
}

// accountNamed returns nil if there is none.
func (s store) accountNamed(ctx context.Context, name string) (*accountRow, error) {
	if !names.MatchString(normalName(name)) { // the store need not take everything that people type
		return nil, nil
	}
	var r accountRow
	err := s.db.Conn(ctx).NewSelect().Model(&r).Where("name_key = ?", nameKey(name)).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return &r, err
}

// insert stores a row of any of the tables.
func (s store) insert(ctx context.Context, row any) error {
	_, err := s.db.Conn(ctx).NewInsert().Model(row).Exec(ctx)
	return err
}

func (s store) updateAccount(ctx context.Context, r *accountRow) error {
	_, err := s.db.Conn(ctx).NewUpdate().Model(r).WherePK().Exec(ctx)
	return err
}

func (s store) deleteAccount(ctx context.Context, uid string) error {
	_, err := s.db.Conn(ctx).NewDelete().Model((*accountRow)(nil)).Where("uid = ?", uid).Exec(ctx)
	return err
}

// session returns the session for which the column has the value, and its account, or nils.
func (s store) session(ctx context.Context, column, value string) (*sessionRow, *accountRow, error) {
	var r sessionRow
	err := s.db.Conn(ctx).NewSelect().Model(&r).Where("? = ?", bun.Ident(column), value).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	a, err := s.account(ctx, r.AccountUID)
	if problem.Is(err, "account.not_found") {
		return nil, nil, nil
	}
	return &r, a, err
}

func (s store) sessionOf(ctx context.Context, accountUID, uid string) (*sessionRow, error) {
	var r sessionRow
	err := s.db.Conn(ctx).NewSelect().Model(&r).Where("uid = ? AND account_uid = ?", uid, accountUID).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, problem.NotFound("session", uid)
	}
	return &r, err
}

func (s store) touchSession(ctx context.Context, uid string, now time.Time) error {
	_, err := s.db.Conn(ctx).NewRaw("UPDATE auth_session SET last_seen_at = ? WHERE uid = ? AND last_seen_at < ?", now, uid, now).Exec(ctx)
	return err
}

func (s store) deleteSession(ctx context.Context, uid string) error {
	_, err := s.db.Conn(ctx).NewDelete().Model((*sessionRow)(nil)).Where("uid = ?", uid).Exec(ctx)
	return err
}

func (s store) deleteSessions(ctx context.Context, accountUID string) error {
	_, err := s.db.Conn(ctx).NewDelete().Model((*sessionRow)(nil)).Where("account_uid = ?", accountUID).Exec(ctx)
	return err
}

func (s store) pruneSessions(ctx context.Context, now time.Time) error {
	_, err := s.db.Conn(ctx).NewDelete().Model((*sessionRow)(nil)).
		Where("expires_at <= ? OR last_seen_at <= ?", now, now.Add(-SessionIdle)).Exec(ctx)
	return err
}

func (s store) tokens(ctx context.Context, rows *[]tokenRow) *bun.SelectQuery {
	return s.db.Conn(ctx).NewSelect().Model(rows).ColumnExpr("t.*").
		ColumnExpr("COALESCE((SELECT a.name FROM auth_account AS a WHERE a.uid = t.account_uid), '') AS owner")
}

// token returns the token for which the column has the value, or nil.
func (s store) token(ctx context.Context, column, value string) (*tokenRow, error) {
	var rows []tokenRow
	if err := s.tokens(ctx, &rows).Where("? = ?", bun.Ident("t."+column), value).Scan(ctx); err != nil || len(rows) == 0 {
		return nil, err
	}
	return &rows[0], nil
}

func (s store) updateToken(ctx context.Context, r *tokenRow) error {
	_, err := s.db.Conn(ctx).NewUpdate().Model(r).WherePK().Exec(ctx)
	return err
}

func (s store) deleteToken(ctx context.Context, uid string) error {
	_, err := s.db.Conn(ctx).NewDelete().Model((*tokenRow)(nil)).Where("uid = ?", uid).Exec(ctx)
	return err
}
