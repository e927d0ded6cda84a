package smbdproc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pve-smb-gateway/smbgw/internal/samba"
)

// patience is how long a process may take to follow SIGTERM before it is killed.
const patience = 5 * time.Second

// Stop ends every process of inst, smbd first, then its children, samba-dcerpcd and the rpcd_* helpers, and nothing else.
// It returns when they are gone. No [Supervisor] of inst may run at the same time.
func Stop(ctx context.Context, inst *samba.Instance) error {
	// smbd first: it would start helpers anew. Its children follow it.
	if p, ok, err := main(inst); err != nil {
		return err
	} else if ok {
		if err := end(ctx, []process{p}); err != nil {
			return err
		}
	}
	// samba-dcerpcd, named by its pid file even if its arguments and environment should tell nothing.
	if pid, ok := readPID(filepath.Join(inst.PIDDir(), "samba-dcerpcd.pid")); ok {
		exe, err := os.Readlink(procFile(pid, "exe"))
		if p, alive := readStat(pid); alive && err == nil && filepath.Base(exe) == "samba-dcerpcd" {
			if err := end(ctx, []process{p}); err != nil {
				return err
			}
		}
	}
	// One that forks while we look is found the next time.
	for range 100 {
		all, err := find(inst)
		if err != nil {
			return err
		}
		if len(all) == 0 {
			return nil
		}
		if err := end(ctx, all); err != nil {
			return err
		}
	}
	return errors.New("smbdproc: Samba's processes come back as fast as they are ended; is another supervisor at work?")
}

// end sends SIGTERM to all, waits, and kills those that stay.
func end(ctx context.Context, all []process) error {
	var watches []*watch
	defer func() {
		for _, w := range watches {
			w.close()
		}
	}()
	for _, p := range all {
		w, err := open(p)
		if errors.Is(err, os.ErrProcessDone) {
			continue
		}
		if err != nil {
			return err
		}
		watches = append(watches, w)
		if err := w.signal(unix.SIGTERM); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("smbdproc: stop pid %d: %w", p.pid, err)
		}
	}
	deadline := time.Now().Add(patience)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	watches = slices.DeleteFunc(watches, func(w *watch) bool {
		gone := w.waitFor(time.Until(deadline))
		if gone {
			w.close()
		}
		return gone
	})
	for _, w := range watches {
		if err := w.signal(unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("smbdproc: kill pid %d: %w", w.pid, err)
		}
		if !w.waitFor(patience) {
			return fmt.Errorf("smbdproc: pid %d does not die; it may hang in a file system that does not answer", w.pid)
		}
	}
	return ctx.Err()
}
