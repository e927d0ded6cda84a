package agent

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/pve-smb-gateway/smbgw/internal/desired"
	"github.com/pve-smb-gateway/smbgw/internal/samba"
)

// The files of the state directory; all are 0600 and replaced atomically. A snapshot file is two lines of JSON: the
// snapshot as the server sent it, and its hash.
const (
	snapshotFile = "snapshot.json"
	previousFile = "snapshot.previous.json"
	epochFile    = "epoch" // the store epoch whose removals this node has accepted
)

// store keeps the node's snapshot. It is safe for concurrent use.
type store struct {
	dir string

	mu       sync.Mutex
	snapshot *desired.Snapshot // never changed, only replaced
	epoch    string
	// problem is what is wrong with what is stored, or with what the server has sent last.
	problem *samba.Problem
	// whole says that snapshotFile is good, and worth being kept as the previous one.
	whole bool
}

// openStore reads what is stored. Damage is no error: the snapshot before is taken, or none.
func openStore(dir string) *store {
	s := &store{dir: dir}
	if b, err := os.ReadFile(s.path(epochFile)); err == nil {
		s.epoch = strings.TrimSpace(string(b))
	}
	var err error
	if s.snapshot, err = readSnapshot(s.path(snapshotFile)); err == nil {
		s.whole = true
		return s
	}
	var previous error
	s.snapshot, previous = readSnapshot(s.path(previousFile))
	switch {
	case errors.Is(err, fs.ErrNotExist): // never stored, or killed between two renames
	case previous == nil:
		s.problem = &samba.Problem{Reason: "snapshot.damaged", Message: fmt.Sprintf(
			"The stored snapshot is damaged (%v); the agent works by the one before it until the server sends a new one. Check the disk of the node's state directory.", err)}
	default:
		s.problem = &samba.Problem{Reason: "snapshot.lost", Message: fmt.Sprintf(
			"The stored snapshot is damaged (%v), and so is the one before it. Shares stay as they are until the server sends a new one. Check the disk of the node's state directory.", err)}
	}
	return s
}

func (s *store) path(name string) string { return filepath.Join(s.dir, name) }

// get returns the snapshot to work by, nil if there is none; it must not be changed.
func (s *store) get() (*desired.Snapshot, *samba.Problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.snapshot, s.problem
}

func (s *store) revision() desired.Revision {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.snapshot == nil {
		return desired.Revision{}
	}
	return s.snapshot.Revision
}

// put stores a snapshot that came from the server and reports whether it is news. One that goes backwards is refused.
func (s *store) put(snap *desired.Snapshot, raw []byte) (news bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.snapshot; old != nil && old.NodeUID == snap.NodeUID && old.Revision.Epoch == snap.Revision.Epoch {
		switch {
		case snap.Revision.Number == old.Revision.Number:
			s.problem = nil
			return false, nil
		case snap.Revision.Number < old.Revision.Number:
			s.problem = &samba.Problem{Reason: "snapshot.goes_backwards", Message: fmt.Sprintf(
				"The server sent revision %d after %d of the same store epoch; the node keeps the newer one. Was the server put back to an older copy without a new store epoch? Restart the server.", snap.Revision.Number, old.Revision.Number)}
			return false, errors.New(s.problem.Message)
		}
	}
	if err := s.write(raw); err != nil {
		s.problem = &samba.Problem{Reason: "snapshot.not_stored", Message: fmt.Sprintf(
			"The server's new snapshot could not be stored (%v), so the node keeps to the one it has. Free some space in %s.", err, s.dir)}
		return false, err
	}
	s.snapshot, s.whole, s.problem = snap, true, nil
	return true, nil
}

// confirm notes that the server has nothing but what is stored. A file that was damaged is written anew.
func (s *store) confirm() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.snapshot == nil || s.problem == nil {
		return nil
	}
	if !s.whole {
		raw, err := json.Marshal(s.snapshot)
		if err == nil {
			err = s.write(raw)
		}
		if err != nil {
			return err
		}
	}
	s.whole, s.problem = true, nil
	return nil
}

func (s *store) write(raw []byte) error {
	if bytes.ContainsRune(raw, '\n') {
		var b bytes.Buffer
		if err := json.Compact(&b, raw); err != nil {
			return err
		}
		raw = b.Bytes()
	}
	if s.whole { // keep the one of now, under a second name until it is replaced
		tmp := s.path("." + previousFile)
		_ = os.Remove(tmp)
		if err := os.Link(s.path(snapshotFile), tmp); err == nil {
			err = os.Rename(tmp, s.path(previousFile))
			if err != nil {
				return err
			}
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	sum := sha256.Sum256(raw)
	return replaceFile(s.path(snapshotFile), fmt.Appendf(nil, "%s\n{\"sha256\":\"%x\"}\n", raw, sum))
}

func readSnapshot(file string) (*desired.Snapshot, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	raw, rest, _ := bytes.Cut(b, []byte("\n"))
	var end struct {
		SHA256 string `json:"sha256"`
	}
	if err := json.Unmarshal(rest, &end); err != nil {
		return nil, errors.New("it is cut short")
	}
	if sum := sha256.Sum256(raw); hex.EncodeToString(sum[:]) != end.SHA256 {
		return nil, errors.New("it does not have the hash that it was stored with")
	}
	snap := new(desired.Snapshot)
	if err := json.Unmarshal(raw, snap); err != nil {
		return nil, err
	}
	if snap.Format > desired.FormatVersion {
		return nil, fmt.Errorf("it has format %d, and this agent knows %d: upgrade the agent", snap.Format, desired.FormatVersion)
	}
	return snap, nil
}

// lastEpoch returns the store epoch whose removals this node has accepted.
func (s *store) lastEpoch() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.epoch
}

// remember stores the accepted epoch.
func (s *store) remember(epoch string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if epoch == s.epoch {
		return nil
	}
	if err := replaceFile(s.path(epochFile), []byte(epoch+"\n")); err != nil {
		return err
	}
	s.epoch = epoch
	return nil
}

// replaceFile puts content in place, 0600, so that after a power cut there is the old file or the new one.
func replaceFile(name string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // in vain after the rename
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
