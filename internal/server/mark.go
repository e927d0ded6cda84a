package server

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/pve-smb-gateway/smbgw/internal/desired"
	"github.com/pve-smb-gateway/smbgw/internal/node"
)

// marked is the room node as link.Store that keeps, in a file beside the store, the highest revision that any agent was
// given. A store that stands below its mark was put back to an older state: a new store epoch begins, and agents hold
// removals. It is safe for concurrent use.
type marked struct {
	*node.Service
	file string

	mu      sync.Mutex
	highest desired.Revision
}

// check begins a new epoch if the store stands below the mark. head is the number of the store's newest event.
func (m *marked) check(ctx context.Context, head int64, log *slog.Logger) error {
	raw, err := os.ReadFile(m.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	epoch, text, _ := strings.Cut(strings.TrimSpace(string(raw)), ":")
	number, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		log.WarnContext(ctx, "the mark of the highest revision cannot be read and is made anew", "file", m.file)
		return nil
	}
	store, err := m.Revision(ctx, "")
	if err != nil {
		return err
	}
	if epoch == store.Epoch && number <= head {
		m.highest = desired.Revision{Epoch: epoch, Number: number}
		return nil
	}
	log.WarnContext(ctx, "the store is older than what agents were given: nodes hold removals until they are confirmed", "store", head, "given", number)
	return m.Behind(ctx, "", desired.Revision{Epoch: store.Epoch, Number: number})
}

// Snapshot implements link.Store.
func (m *marked) Snapshot(ctx context.Context, nodeUID string) (*desired.Snapshot, error) {
	snap, err := m.Service.Snapshot(ctx, nodeUID)
	if err != nil {
		return nil, err
	}
	return snap, m.raise(snap.Revision)
}

// raise moves the mark before the revision leaves the server.
func (m *marked) raise(r desired.Revision) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.highest.Epoch == r.Epoch && m.highest.Number >= r.Number {
		return nil
	}
	tmp := m.file + ".new"
	if err := os.WriteFile(tmp, []byte(r.String()+"\n"), 0o600); err != nil {
		return err
	}
	if err := os.Rename(tmp, m.file); err != nil {
		return err
	}
	m.highest = r
	return nil
}
