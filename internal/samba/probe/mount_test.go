package probe

import (
	"testing"

	"golang.org/x/sys/unix"

	"context"

	"github.com/pve-smb-gateway/smbgw/internal/desired"
	"github.com/pve-smb-gateway/smbgw/internal/reconcile"
	"github.com/pve-smb-gateway/smbgw/internal/samba"
)

func mountTmpfs(t *testing.T, dir, options string) {
	t.Helper()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Fatalf("a tmpfs has to be mounted for this test, which needs root: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
}

func pass(ctx context.Context, d samba.Driver, s *desired.Snapshot, n reconcile.Node) (reconcile.Result, error) {
	return reconcile.Pass(ctx, d, s, reconcile.Options{Node: n})
}
