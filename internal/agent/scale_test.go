package agent

import (
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pve-smb-gateway/smbgw/internal/desired"
	"github.com/pve-smb-gateway/smbgw/internal/samba/nthash"
)

// TestThousandShares applies and proves a thousand shares at once, and measures what a pass with nothing to do costs.
func TestThousandShares(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute; make test runs it")
	}
	r := newRig(t)
	r.c.PassEvery, r.c.ProbeEvery = time.Second, 10*time.Minute
	r.start()
	began := time.Now()
	r.publish(func(s *desired.Snapshot) {
		for n := 1; n < 10; n++ {
			s.Users = append(s.Users, desired.User{UID: fmt.Sprint("u", n), Name: fmt.Sprint("user", n), Generation: 1, ID: desired.FirstUserID + n,
				Enabled: true, NTHash: nthash.Sum(fmt.Sprint(n))})
		}
		for n := range 1000 {
			sh := share(fmt.Sprintf("share%04d", n))
			sh.ValidUsers = []string{s.Users[n%len(s.Users)].Name}
			s.Shares = append(s.Shares, sh)
		}
	})
	passed := func(rep *desired.Report) (n int) {
		for _, o := range rep.Objects {
			if o.Receipt != nil && o.Receipt.Passed {
				n++
			}
		}
		return n
	}
	deadline := began.Add(60 * time.Second)
	for passed(r.cable.last()) < 1000 {
		if time.Now().After(deadline) {
			t.Fatalf("only %d of 1000 shares are Ready after 60 s", passed(r.cable.last()))
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Logf("1000 shares Ready after %v, %d reports", time.Since(began), len(r.cable.reports))

	// One more share among a thousand, while all are at rest.
	began = time.Now()
	r.publish(func(s *desired.Snapshot) { s.Shares = append(s.Shares, share("one-more")) })
	eventually(t, "a client writes", func() bool { return r.write("one-more", "x", "x") == nil })
	wrote := time.Since(began)
	r.reported("ready", ready("s-one-more", 1))
	t.Logf("one more: first byte after %v, Ready reported after %v", wrote, time.Since(began))

	time.Sleep(2 * time.Second) // sessions of probes end
	cpu := func() time.Duration {
		var self, children unix.Rusage
		if unix.Getrusage(unix.RUSAGE_SELF, &self) != nil || unix.Getrusage(unix.RUSAGE_CHILDREN, &children) != nil {
			t.Fatal("getrusage")
		}
		return time.Duration(self.Utime.Nano() + self.Stime.Nano() + children.Utime.Nano() + children.Stime.Nano())
	}
	before := cpu()
	time.Sleep(5 * time.Second)
	each := (cpu() - before) / 5
	t.Logf("a pass with nothing to do, and all else in that second: %v of CPU", each)
}
