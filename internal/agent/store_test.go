package agent

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/pve-smb-gateway/smbgw/internal/desired"
)

// TestStoreCutAnywhere cuts the snapshot file at every length: never is a part of it taken for the whole.
func TestStoreCutAnywhere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openStore(dir)
	for n := range 2 {
		snap := desired.Snapshot{NodeUID: nodeUID, Revision: desired.Revision{Epoch: "e", Number: int64(n + 1)}, Shares: []desired.Share{share("a")}}
		if news, err := s.put(&snap, marshal(snap)); !news || err != nil {
			t.Fatal(news, err)
		}
	}
	file := filepath.Join(dir, snapshotFile)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(whole) - 1 { // the last byte is the end of the line
		if err := os.WriteFile(file, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if got := openStore(dir); got.revision().Number != 1 || got.problem == nil {
			t.Fatalf("cut to %d bytes: revision %v, problem %+v", n, got.revision(), got.problem)
		}
	}
	if err := os.WriteFile(file, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := openStore(dir); got.revision().Number != 2 || got.problem != nil {
		t.Fatalf("whole: %v %+v", got.revision(), got.problem)
	}
}

// TestStoreDiskFull keeps to what it has when nothing can be written.
func TestStoreDiskFull(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openStore(dir)
	one := desired.Snapshot{NodeUID: nodeUID, Revision: desired.Revision{Epoch: "e", Number: 1}}
	if _, err := s.put(&one, marshal(one)); err != nil {
		t.Fatal(err)
	}
	s.dir = filepath.Join(dir, "gone")
	two := one
	two.Revision.Number = 2
	if news, err := s.put(&two, marshal(two)); news || err == nil || s.problem.Reason != "snapshot.not_stored" || s.revision().Number != 1 {
		t.Fatal(news, err, s.problem, s.revision())
	}
	s.dir = dir
	if news, err := s.put(&two, marshal(two)); !news || err != nil || s.problem != nil {
		t.Fatal(news, err, s.problem)
	}
}

func FuzzReadSnapshot(f *testing.F) {
	f.Add([]byte("{}\n{\"sha256\":\"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\"}\n"))
	f.Add([]byte("{}\n{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		file := filepath.Join(t.TempDir(), "s")
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		snap, err := readSnapshot(file)
		if err == nil && (snap == nil || !bytes.Contains(b, []byte("sha256"))) {
			t.Errorf("%q was taken", b)
		}
	})
}
