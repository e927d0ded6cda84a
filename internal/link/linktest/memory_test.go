package linktest_test

import (
	"testing"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/clock"
	"github.com/pve-smb-gateway/smbgw/internal/link/linktest"
)

func TestMemory(t *testing.T) {
	fake := clock.NewFake(time.Now())
	linktest.NodesSuite(t, linktest.NewMemory(fake.Now), fake.Advance)
}
