package registry_test

import (
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/desired"
	"github.com/pve-smb-gateway/smbgw/internal/reconcile"
	"github.com/pve-smb-gateway/smbgw/internal/samba/registry"
	"github.com/pve-smb-gateway/smbgw/internal/samba/sambatest"
)

// cpu returns the time that this process and its children have spent.
func cpu(t testing.TB) time.Duration {
	var sum time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		must(t, syscall.Getrusage(who, &u))
		sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return sum
}

func manyShares(n int) desired.Snapshot {
	snap := desired.Snapshot{Revision: desired.Revision{Epoch: "e", Number: 1}}
	for i := range n {
		name := fmt.Sprintf("share%04d", i)
		snap.Shares = append(snap.Shares, desired.Share{UID: "uid-" + name, Name: name, Generation: 1, CreatePath: true, Browseable: true,
			Comment: "One of many", ValidUsers: []string{"alice", "bob", "@team"}, Parameters: map[string]string{"vfs objects": "recycle", "recycle:keeptree": "yes"}})
	}
	return snap
}

// TestIdlePassWritesNothing: at 1,000 shares a pass with nothing to do writes nothing. What it costs is measured by
// BenchmarkIdlePassOf1000.
func TestIdlePassWritesNothing(t *testing.T) {
	i := sambatest.New(t)
	d := registry.New(i)
	snap := manyShares(1000)
	o := reconcile.Options{Node: reconcile.Node{ShareRoots: i.ShareRoots}, LastEpoch: "e"}
	for range 2 {
		d = registry.New(i) // the second one finds what is there, not what the first remembers
		if _, err := reconcile.Pass(t.Context(), d, &snap, o); err != nil {
			t.Fatal(err)
		}
	}
	before := newest(t, i.Dir, i.ShareRoots[0])
	const passes = 5
	for range passes {
		r, err := reconcile.Pass(t.Context(), d, &snap, o)
		if err != nil || len(r.Steps) > 0 {
			t.Fatalf("%v %+v", err, r.Steps)
		}
	}
	if after := newest(t, i.Dir, i.ShareRoots[0]); after != before {
		t.Error("an idle pass wrote something")
	}
	// What someone else changes is seen all the same.
	run(t, i, "net", "conf", "setparm", "share0500", "comment", "changed by hand")
	r, err := reconcile.Pass(t.Context(), d, &snap, o)
	if err != nil || len(r.Steps) != 1 || len(r.Steps[0].Sections) != 1 || r.Steps[0].Sections[0].Name != "share0500" {
		t.Errorf("%v %+v", err, r.Steps)
	}
}

// newest describes all files below dirs by what a write would change.
func newest(t testing.TB, dirs ...string) string {
	var s string
	var walk func(dir string)
	walk = func(dir string) {
		entries, err := os.ReadDir(dir)
		must(t, err)
		for _, e := range entries {
			info, err := e.Info()
			must(t, err)
			s += fmt.Sprintln(dir, e.Name(), info.Size(), info.ModTime().UnixNano())
			if e.IsDir() {
				walk(dir + "/" + e.Name())
			}
		}
	}
	for _, d := range dirs {
		walk(d)
	}
	return s
}

func BenchmarkImport(b *testing.B) {
	for _, n := range []int{1, 10, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			i := sambatest.New(b)
			d := registry.New(i)
			snap := manyShares(1000)
			o := reconcile.Options{Node: reconcile.Node{ShareRoots: i.ShareRoots}, LastEpoch: "e"}
			pass := func() {
				if r, err := reconcile.Pass(b.Context(), d, &snap, o); err != nil || r.Done == 0 {
					b.Fatal(err)
				}
			}
			pass()
			start, rounds := cpu(b), 0
			for b.Loop() {
				// n of 1,000 shares change, with all that a pass does, reading back excepted.
				for k := range n {
					snap.Shares[k].Generation++
				}
				pass()
				rounds++
			}
			b.ReportMetric(float64((cpu(b)-start).Milliseconds())/float64(rounds), "cpu-ms/op")
		})
	}
}

func BenchmarkIdlePassOf1000(b *testing.B) {
	i := sambatest.New(b)
	d := registry.New(i)
	snap := manyShares(1000)
	o := reconcile.Options{Node: reconcile.Node{ShareRoots: i.ShareRoots}, LastEpoch: "e"}
	for range 2 {
		d = registry.New(i)
		if _, err := reconcile.Pass(b.Context(), d, &snap, o); err != nil {
			b.Fatal(err)
		}
	}
	start := cpu(b)
	rounds := 0
	for b.Loop() {
		if _, err := reconcile.Pass(b.Context(), d, &snap, o); err != nil {
			b.Fatal(err)
		}
		rounds++
	}
	b.ReportMetric(float64((cpu(b)-start).Microseconds())/float64(rounds)/1000, "cpu-ms/op")
}

func BenchmarkFullReadOf1000(b *testing.B) {
	i := sambatest.New(b)
	snap := manyShares(1000)
	if _, err := reconcile.Pass(b.Context(), registry.New(i), &snap, reconcile.Options{Node: reconcile.Node{ShareRoots: i.ShareRoots}}); err != nil {
		b.Fatal(err)
	}
	start, rounds := cpu(b), 0
	for b.Loop() {
		if st, err := registry.New(i).Observe(b.Context()); err != nil || len(st.Sections) != 1000 {
			b.Fatal(err)
		}
		rounds++
	}
	b.ReportMetric(float64((cpu(b)-start).Milliseconds())/float64(rounds), "cpu-ms/op")
}
