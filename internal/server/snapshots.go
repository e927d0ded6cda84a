package server

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/pve-smb-gateway/smbgw/internal/db"
	"github.com/pve-smb-gateway/smbgw/internal/desired"
	"github.com/pve-smb-gateway/smbgw/internal/event"
	"github.com/pve-smb-gateway/smbgw/internal/object"
)

// snapshots builds what agents fetch, from all contributing rooms, and hands their reports to all observing rooms. It
// keeps the store epoch: a new one begins whenever it shows that the store was put back to an older state, because then
// agents must not take what is missing for deleted. It is safe for concurrent use.
type snapshots struct {
	db           *db.DB
	events       *event.Log
	contributors []desired.Contributor
	observers    []desired.Observer
	slog         *slog.Logger

	// mark is a file beside the store with the epoch and the highest revision number that any agent was given.
	mark string
	mu   sync.Mutex
	seen desired.Revision
}

func (s *snapshots) epoch(ctx context.Context) (epoch string, err error) {
	err = s.db.Conn(ctx).NewRaw("SELECT epoch FROM server_store WHERE id = 1").Scan(ctx, &epoch)
	return epoch, err
}

// start makes the first epoch, or a new one when the store is older than what agents were given.
func (s *snapshots) start(ctx context.Context) error {
	epoch, err := s.epoch(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return s.newEpoch(ctx, "a new store")
	}
	if err != nil {
		return err
	}
	head, err := s.events.Head(ctx)
	if err != nil {
		return err
	}
	raw, err := os.ReadFile(s.mark)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	marked, number, _ := strings.Cut(strings.TrimSpace(string(raw)), ":")
	highest, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		s.slog.WarnContext(ctx, "the high-water mark cannot be read; a new store epoch begins", "file", s.mark)
		return s.newEpoch(ctx, "unreadable high-water mark")
	}
	if marked != epoch || highest > head {
		return s.newEpoch(ctx, fmt.Sprintf("the store stands at %s:%d, agents were given %s:%d", epoch, head, marked, highest))
	}
	s.seen = desired.Revision{Epoch: epoch, Number: highest}
	return nil
}

func (s *snapshots) newEpoch(ctx context.Context, why string) error {
	epoch := object.NewUID()
	err := s.db.Tx(ctx, func(ctx context.Context) error {
		if _, err := s.db.Conn(ctx).NewRaw(`INSERT INTO server_store (id, epoch) VALUES (1, ?)
			ON CONFLICT (id) DO UPDATE SET epoch = excluded.epoch`, epoch).Exec(ctx); err != nil {
			return err
		}
		// Every agent has to fetch anew.
		return s.events.Append(ctx, event.Event{Type: "server.epoch_started", Kind: "server", Scopes: []string{event.AllNodes}})
	})
	if err == nil {
		s.slog.WarnContext(ctx, "new store epoch: agents hold removals until they are confirmed", "epoch", epoch, "reason", why)
	}
	return err
}

// Revision implements link.Store.
func (s *snapshots) Revision(ctx context.Context, nodeUID string) (r desired.Revision, err error) {
	err = s.db.Read(ctx, func(ctx context.Context) error {
		if r.Epoch, err = s.epoch(ctx); err != nil {
			return err
		}
		r.Number, err = s.events.Number(ctx, event.Node(nodeUID), event.AllNodes)
		return err
	})
	return r, err
}

// Snapshot implements link.Store: content and revision come from one transaction.
func (s *snapshots) Snapshot(ctx context.Context, nodeUID string) (*desired.Snapshot, error) {
	snap := &desired.Snapshot{Format: desired.FormatVersion, NodeUID: nodeUID, Shares: []desired.Share{}, Users: []desired.User{}, Groups: []desired.Group{}}
	err := s.db.Read(ctx, func(ctx context.Context) (err error) {
		if snap.Revision, err = s.Revision(ctx, nodeUID); err != nil {
			return err
		}
		for _, c := range s.contributors {
			if err := c.Contribute(ctx, nodeUID, snap); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	snap.Sort()
	return snap, s.raise(snap.Revision)
}

// raise keeps the highest revision that left the server, before it leaves.
func (s *snapshots) raise(r desired.Revision) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen.Epoch == r.Epoch && s.seen.Number >= r.Number {
		return nil
	}
	tmp := s.mark + ".new"
	if err := os.MkdirAll(filepath.Dir(s.mark), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(tmp, []byte(r.String()+"\n"), 0o600); err != nil {
		return err
	}
	if err := os.Rename(tmp, s.mark); err != nil {
		return err
	}
	s.seen = r
	return nil
}

// Report implements link.Store.
func (s *snapshots) Report(ctx context.Context, r *desired.Report) error {
	return s.db.Tx(ctx, func(ctx context.Context) error {
		epoch, err := s.epoch(ctx)
		if err != nil {
			return err
		}
		if r.Revision.Epoch != epoch {
			r.Revision.Number = 0 // numbers of another epoch confirm nothing
		}
		for _, o := range s.observers {
			if err := o.Observe(ctx, r); err != nil {
				return err
			}
		}
		return nil
	})
}

// Behind implements link.Store.
func (s *snapshots) Behind(ctx context.Context, nodeUID string, applied desired.Revision) error {
	current, err := s.Revision(ctx, nodeUID)
	if err != nil || applied.Epoch != current.Epoch || applied.Number <= current.Number {
		return err
	}
	return s.newEpoch(ctx, fmt.Sprintf("node %s has applied %s, the store stands at %s", nodeUID, applied, current))
}
