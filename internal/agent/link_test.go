package agent

import (
	"os"
	"testing"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/clock"
	"github.com/pve-smb-gateway/smbgw/internal/desired"
	"github.com/pve-smb-gateway/smbgw/internal/link"
	"github.com/pve-smb-gateway/smbgw/internal/link/linktest"
	"github.com/pve-smb-gateway/smbgw/internal/secret"
)

// TestOverTheRealLink has the agent enrolled at a real link server, over TLS, that goes away and comes back.
func TestOverTheRealLink(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	memory := linktest.NewMemory(clock.System.Now)
	server := linktest.Serve(t, memory, memory, link.Options{})
	if err := Run(t.Context(), func() Config { c := r.c; c.Link = nil; return c }()); err == nil {
		t.Fatal("an agent without an identity ran")
	}
	token, err := memory.NewToken(t.Context(), "pve1", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	id, err := link.Enrol(t.Context(), link.EnrolRequest{Dir: IdentityDir(r.c.StateDir), Server: server.URL,
		Fingerprint: server.CA.Fingerprint(), Token: secret.NewString(token), Facts: Facts("test")})
	if err != nil {
		t.Fatal(err)
	}
	publish := func(edit func(s *desired.Snapshot)) {
		server.Nudge(id.NodeUID, memory.SetSnapshot(id.NodeUID, edit), "request-1")
	}
	last := func() *desired.Report {
		n, _ := memory.Node(id.NodeUID)
		if len(n.Reports) == 0 {
			return &desired.Report{}
		}
		return &n.Reports[len(n.Reports)-1]
	}
	r.c.Link = nil
	r.start()
	publish(func(s *desired.Snapshot) { s.Users, s.Shares = r.snap.Users, []desired.Share{share("data")} })
	eventually(t, "ready", func() bool { return ready("s-data", 1)(last()) })

	server.Close()
	if err := r.write("data", "x", "x"); err != nil {
		t.Errorf("without the server: %v", err)
	}
	if _, err := r.c.Instance.Run(t.Context(), nil, "net", "conf", "delshare", "data"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the share is put back without the server", func() bool { return r.write("data", "x", "x") == nil })
	memory.SetSnapshot(id.NodeUID, func(s *desired.Snapshot) { s.Shares = append(s.Shares, share("meanwhile")) })
	server.Again(t, memory, memory, link.Options{})
	eventually(t, "what happened meanwhile arrives", func() bool { return ready("s-meanwhile", 1)(last()) })
	if st, err := os.Stat(IdentityDir(r.c.StateDir)); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("identity directory: %v %v", st, err)
	}
}
