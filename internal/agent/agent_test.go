package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/desired"
	"github.com/pve-smb-gateway/smbgw/internal/object"
	"github.com/pve-smb-gateway/smbgw/internal/samba/nthash"
	"github.com/pve-smb-gateway/smbgw/internal/samba/smbdproc"
)

func TestFromSnapshotToClient(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	r.publish(func(s *desired.Snapshot) { s.Shares = []desired.Share{share("projects")} })
	rep := r.reported("ready", ready("s-projects", 1))
	if err := r.write("projects", "hello.txt", "hello"); err != nil {
		t.Fatal(err)
	}
	o := find(rep, "s-projects")
	if !object.Is(o.Conditions, object.Applied, object.True) || !object.Is(o.Conditions, object.Reachable, object.True) ||
		!object.Is(o.Conditions, object.InSync, object.True) || o.Path != filepath.Join(r.c.Instance.ShareRoots[0], "projects") {
		t.Errorf("%+v", o)
	}
	if u := find(rep, "u-alice"); u == nil || !object.Is(u.Conditions, object.Applied, object.True) {
		t.Errorf("user: %+v", u)
	}
	n := r.reported("node ready", nodeCondition(object.Ready, object.True, "node.ready")).Node
	if n.SmbdPID == 0 || n.SambaVersion == "" || n.Hostname == "" || n.SMBAddress != smbdproc.Address(&r.c.Instance) || n.AgentVersion != "test" {
		t.Errorf("%+v", n)
	}

	// How long from the snapshot's arrival until a client can write.
	var times []time.Duration
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		began := time.Now()
		r.publish(func(s *desired.Snapshot) { s.Shares = append(s.Shares, share(name)) })
		eventually(t, "a client writes", func() bool { return r.write(name, "x", "x") == nil })
		times = append(times, time.Since(began))
		r.reported("ready", ready("s-"+name, 1))
		times = append(times, time.Since(began))
	}
	t.Logf("until first byte, until ready: %v", times)

	// A change, a disabled user, and a deletion that leaves the data.
	r.publish(func(s *desired.Snapshot) { s.Shares[0].ReadOnly, s.Shares[0].Generation = true, 2 })
	r.reported("read-only", ready("s-projects", 2))
	if err := r.write("projects", "no.txt", "no"); !os.IsPermission(err) {
		t.Errorf("a read-only share could be written: %v", err)
	}
	r.publish(func(s *desired.Snapshot) { s.Users[0].Enabled, s.Users[0].Generation = false, 2 })
	r.reported("nobody", notReady("s-projects", "share.nobody_allowed"))
	r.publish(func(s *desired.Snapshot) { s.Users[0].Enabled, s.Users[0].Generation = true, 3 })
	r.reported("again", ready("s-projects", 2))
	rev := r.publish(func(s *desired.Snapshot) { s.Shares = s.Shares[1:] })
	r.reported("gone", func(rep *desired.Report) bool {
		return rep.Revision == rev && find(rep, "s-projects") == nil && len(rep.Held) == 0
	})
	if err := r.write("projects", "x", "x"); err == nil {
		t.Error("a deleted share is still served")
	}
	if b, err := os.ReadFile(filepath.Join(r.c.Instance.ShareRoots[0], "projects", "hello.txt")); err != nil || string(b) != "hello" {
		t.Errorf("the data is gone: %q %v", b, err)
	}
}

// TestOffline restarts the agent without a server while a client is connected.
func TestOffline(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	r.publish(func(s *desired.Snapshot) { s.Shares = []desired.Share{share("data")} })
	before := r.reported("ready", ready("s-data", 1))
	session, sh, err := client(&r.c.Instance, "data")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = session.Logoff() }()
	r.stop()
	r.cable.set(func(c *cable) { c.offline, c.reports = true, nil })
	r.start()
	rep := r.reported("ready without a server", ready("s-data", 1))
	if rep.Node.SmbdPID != before.Node.SmbdPID || rep.Node.SmbdRestarts != 0 {
		t.Errorf("smbd was restarted: %+v", rep.Node)
	}
	for _, old := range r.cable.reports {
		if o := find(old, "s-data"); o != nil && !object.Is(o.Conditions, object.Ready, object.True) {
			t.Errorf("a share that works was reported as %+v after the restart", o.Conditions)
		}
	}
	if err := sh.WriteFile("still.txt", []byte("connected"), 0o600); err != nil {
		t.Errorf("the session did not survive the agent's restart: %v", err)
	}
	// What people do by hand is put right, and smbd that is killed comes back.
	inst := &r.c.Instance
	if _, err := inst.Run(t.Context(), nil, "net", "conf", "setparm", "data", "valid users", "nobody"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "drift is put right", func() bool { return r.write("data", "x", "x") == nil })
	if err := syscall.Kill(rep.Node.SmbdPID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	r.reported("smbd came back", func(n *desired.Report) bool {
		return n.Node.SmbdRestarts == 1 && n.Node.SmbdPID != 0 && n.Node.SmbdPID != rep.Node.SmbdPID &&
			ready("s-data", 1)(n) && nodeCondition(object.Degraded, object.True, "smbd.crashed")(n)
	})
}

func TestStuckServerHoldsUpNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	r.publish(func(s *desired.Snapshot) { s.Shares = []desired.Share{share("data")} })
	r.reported("ready", ready("s-data", 1))
	r.cable.set(func(c *cable) { c.stuck = true })
	r.cable.nudge(desired.Revision{Epoch: "e1", Number: 9})
	time.Sleep(50 * time.Millisecond)
	if _, err := r.c.Instance.Run(t.Context(), nil, "net", "conf", "delshare", "data"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the share is back", func() bool { return r.write("data", "x", "x") == nil })
}

// TestUnreliableNudges loses, doubles and reorders them.
func TestUnreliableNudges(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	r.cable.set(func(c *cable) { c.deaf = true })
	r.publish(func(s *desired.Snapshot) { s.Shares = []desired.Share{share("lost")} })
	r.reported("found without a nudge", ready("s-lost", 1))
	for n := range 20 {
		r.cable.nudge(desired.Revision{Epoch: "e1", Number: int64(20 - n)})
	}
	rev := r.publish(func(s *desired.Snapshot) { s.Shares = append(s.Shares, share("late")) })
	r.cable.nudge(rev)
	r.cable.nudge(desired.Revision{Epoch: "e1", Number: 1})
	r.reported("ready", ready("s-late", 1))
}

func TestBackwardsIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	r.publish(func(s *desired.Snapshot) { s.Shares = []desired.Share{share("data")} })
	r.publish(nil)
	rev := r.publish(nil)
	r.reported("ready", func(rep *desired.Report) bool { return rep.Revision == rev && ready("s-data", 1)(rep) })
	old := r.snap
	old.Revision.Number, old.Shares = 1, nil
	r.cable.publish(old)
	r.reported("refused", nodeCondition(SnapshotStored, object.False, "snapshot.goes_backwards"))
	if err := r.write("data", "x", "x"); err != nil {
		t.Error(err)
	}
	// A restored server has a new store epoch: taken, but what it does not know is held.
	old.Revision.Epoch = "e2"
	r.cable.publish(old)
	rep := r.reported("held", nodeCondition(RemovalsHeld, object.True, "node.removals_held_epoch"))
	if len(rep.Held) != 1 || rep.Held[0] != "data" {
		t.Errorf("held %v", rep.Held)
	}
	if err := r.write("data", "x", "x"); err != nil {
		t.Error(err)
	}
	r.stop()
	r.start() // the hold outlives the agent
	r.reported("still held", func(rep *desired.Report) bool { return rep.Revision.Epoch == "e2" && len(rep.Held) == 1 })
	old.Revision.Number++
	old.ConfirmedEpoch, old.ConfirmedNumber = "e2", old.Revision.Number
	r.cable.publish(old)
	r.reported("confirmed", func(rep *desired.Report) bool {
		return rep.Revision == old.Revision && len(rep.Held) == 0 && nodeCondition(RemovalsHeld, object.False, "node.removals_free")(rep)
	})
}

func TestDamagedSnapshot(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	r.publish(func(s *desired.Snapshot) { s.Shares = []desired.Share{share("data")} })
	r.reported("ready", ready("s-data", 1))
	rev := r.publish(func(s *desired.Snapshot) { s.Shares = append(s.Shares, share("more")) })
	r.reported("ready", ready("s-more", 1))
	r.stop()
	cut := func(name string) {
		t.Helper()
		file := filepath.Join(r.c.StateDir, name)
		st, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if st.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", name, st.Mode())
		}
		if err := os.Truncate(file, st.Size()/2); err != nil {
			t.Fatal(err)
		}
	}
	cut(snapshotFile)
	r.cable.set(func(c *cable) { c.offline, c.reports = true, nil })
	r.start()
	r.reported("damage is told, the one before is used", func(rep *desired.Report) bool {
		return nodeCondition(SnapshotStored, object.False, "snapshot.damaged")(rep) && ready("s-data", 1)(rep) && rep.Revision.Number == rev.Number-1
	})
	r.stop()
	cut(previousFile)
	r.cable.set(func(c *cable) { c.reports = nil })
	r.start()
	r.reported("loss is told", nodeCondition(SnapshotStored, object.False, "snapshot.lost"))
	if err := r.write("data", "x", "x"); err != nil {
		t.Errorf("a share went because the snapshot was lost: %v", err)
	}
	r.cable.set(func(c *cable) { c.offline = false })
	r.cable.nudge(rev)
	r.reported("healed", func(rep *desired.Report) bool {
		return nodeCondition(SnapshotStored, object.True, "snapshot.stored")(rep) && ready("s-more", 1)(rep)
	})
}

func TestPassesWithNothingToDoWriteNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.c.PassEvery = 20 * time.Millisecond
	r.start()
	r.publish(func(s *desired.Snapshot) { s.Shares = []desired.Share{share("data")} })
	r.reported("ready", ready("s-data", 1))
	inst := &r.c.Instance
	files := []string{inst.RegistryFile(), inst.PassdbFile(), inst.NSSFile("passwd"), inst.NSSFile("group"), inst.ConfigFile(),
		filepath.Join(r.c.StateDir, snapshotFile), filepath.Join(r.c.StateDir, epochFile)}
	time.Sleep(200 * time.Millisecond)
	before := fileSum(t, files...)
	time.Sleep(time.Second) // some fifty passes
	if fileSum(t, files...) != before {
		t.Error("something was written")
	}
}

func TestProblemsOfShares(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	r.publish(func(s *desired.Snapshot) {
		etc, missing, good := share("etc"), share("missing"), share("good")
		etc.Path = "/etc"
		missing.Path, missing.CreatePath = filepath.Join(r.c.Instance.ShareRoots[0], "not-there"), false
		s.Shares = []desired.Share{etc, missing, good}
	})
	rep := r.reported("ready", ready("s-good", 1))
	for uid, reason := range map[string]string{"s-etc": "share.path_outside_roots", "s-missing": "share.path_missing"} {
		if !notReady(uid, reason)(rep) {
			t.Errorf("%s: %+v", uid, find(rep, uid))
		}
	}
	if err := os.Mkdir(filepath.Join(r.c.Instance.ShareRoots[0], "not-there"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(r.c.Instance.ShareRoots[0], "not-there"), 0o777); err != nil {
		t.Fatal(err)
	}
	r.reported("the remedy helps", ready("s-missing", 1))
}

func TestOnlyOneAgent(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	r.reported("anything", func(rep *desired.Report) bool { return rep.NodeUID == nodeUID })
	if err := Run(context.Background(), r.c); !errors.Is(err, ErrRunning) {
		t.Fatalf("a second agent: %v", err)
	}
}

func TestStopSamba(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.c.StopSamba = true
	r.start()
	r.publish(func(s *desired.Snapshot) { s.Shares = []desired.Share{share("data")} })
	r.reported("ready", ready("s-data", 1))
	s, _, err := client(&r.c.Instance, "data")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.ListSharenames(); err != nil { // starts samba-dcerpcd
		t.Fatal(err)
	}
	r.stop()
	if left := mentions(t, filepath.Dir(r.c.Instance.Dir)); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

func TestPasswordChange(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	r.publish(func(s *desired.Snapshot) { s.Shares = []desired.Share{share("data")} })
	r.reported("ready", ready("s-data", 1))
	r.publish(func(s *desired.Snapshot) { s.Users[0].NTHash, s.Users[0].Generation = nthash.Sum("other"), 2 })
	at := time.Now()
	r.reported("proven with the new password", func(rep *desired.Report) bool {
		return ready("s-data", 1)(rep) && find(rep, "s-data").Receipt.At.After(at) && find(rep, "u-alice").ObservedGeneration == 2
	})
	if err := r.write("data", "x", "x"); err == nil {
		t.Error("the old password still works")
	}
}
