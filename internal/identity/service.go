package identity

import (
	"context"
	"embed"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/pve-smb-gateway/smbgw/internal/clock"
	"github.com/pve-smb-gateway/smbgw/internal/db"
	"github.com/pve-smb-gateway/smbgw/internal/event"
	"github.com/pve-smb-gateway/smbgw/internal/object"
	"github.com/pve-smb-gateway/smbgw/internal/problem"
	"github.com/pve-smb-gateway/smbgw/internal/secret"
)

//go:embed migrations/*.sql
var files embed.FS

// Migrations make the tables of this room.
var Migrations = db.Migrations{Room: "identity", FS: files}

// Shares is what this room must know of shares.
type Shares interface {
	// SharesNaming returns the names of the shares that name a principal, "anna" or "@staff", in any list.
	SharesNaming(ctx context.Context, principal string) ([]string, error)
}

// StartTask starts long work in the transaction that ctx carries and returns its UID; payload is marshalled to JSON.
type StartTask func(ctx context.Context, kind, title string, total int, payload any) (uid string, err error)

// Deps are what a [Service] works with. All are needed.
type Deps struct {
	DB        *db.DB
	Clock     clock.Clock
	Events    *event.Log
	Recorder  event.Recorder
	Sealer    *secret.Sealer
	Shares    Shares
	StartTask StartTask
	Log       *slog.Logger
}

// Service holds the rules of users and groups. It is safe for concurrent use.
type Service struct{ Deps }

// New returns the room.
func New(d Deps) *Service { return &Service{d} }

// Missing returns those of names, such as "anna" or "@staff", for which there is no user or group.
func (s *Service) Missing(ctx context.Context, names []string) (missing []string, err error) {
	err = s.DB.Read(ctx, func(ctx context.Context) error {
		var users, groups []string
		for _, n := range names {
			if g, ok := strings.CutPrefix(n, "@"); ok {
				groups = append(groups, g)
			} else {
				users = append(users, n)
			}
		}
		knownUsers, err := s.uidsByName(ctx, kindUser, users)
		if err != nil {
			return err
		}
		knownGroups, err := s.uidsByName(ctx, kindGroup, groups)
		if err != nil {
			return err
		}
		missing = nil
		for _, n := range names {
			g, isGroup := strings.CutPrefix(n, "@")
			_, ok := knownUsers[n]
			if isGroup {
				_, ok = knownGroups[g]
			}
			if !ok {
				missing = append(missing, n)
			}
		}
		return nil
	})
	return missing, err
}

// free returns nil if no share names the principal, or force is set.
func (s *Service) free(ctx context.Context, kind, principal string, force bool) error {
	if force {
		return nil
	}
	shares, err := s.Shares.SharesNaming(ctx, principal)
	if err != nil || len(shares) == 0 {
		return err
	}
	slices.Sort(shares)
	list := strings.Join(shares[:min(len(shares), 5)], ", ")
	if more := len(shares) - 5; more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return problem.New(http.StatusConflict, kind+codeInUse, fmt.Sprintf("Shares still name %q: %s. Take the name out of them first, "+
		"or delete with force=true; then these shares name someone who does not exist.", principal, list))
}

// resolve returns the UIDs of names of a kind, in order of the names and without doubles; unknown ones are a problem.
func (s *Service) resolve(ctx context.Context, kind string, names []string) ([]string, error) {
	known, err := s.uidsByName(ctx, kind, names)
	if err != nil {
		return nil, err
	}
	var uids []string
	var fields []problem.Field
	for i, n := range names {
		uid, ok := known[n]
		switch {
		case ok:
			uids = append(uids, uid)
		case kind == kindGroup:
			fields = append(fields, problem.Field{Pointer: fmt.Sprintf("/groups/%d", i), Code: codeGroupUnknown,
				Detail: fmt.Sprintf("There is no group %q. Create it first.", n)})
		default:
			fields = append(fields, problem.Field{Pointer: fmt.Sprintf("/members/%d", i), Code: codeMemberUnknown,
				Detail: fmt.Sprintf("There is no user %q. Create it first.", n)})
		}
	}
	if err := problem.Invalid(fields...); err != nil {
		return nil, err
	}
	slices.Sort(uids)
	return slices.Compact(uids), nil
}

func (s *Service) newMeta(uid string) object.Meta {
	now := s.Clock.Now()
	return object.Meta{UID: uid, Generation: 1, Revision: 1, CreatedAt: now, UpdatedAt: now}
}

// difference returns what is in a but not in b.
func difference(a, b []string) []string {
	known := make(map[string]bool, len(b))
	for _, x := range b {
		known[x] = true
	}
	var out []string
	for _, x := range a {
		if !known[x] {
			out = append(out, x)
		}
	}
	return out
}
