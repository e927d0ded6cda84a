package link_test

import (
	"context"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"

	agentv1 "github.com/pve-smb-gateway/smbgw/api/agent/v1"
	"github.com/pve-smb-gateway/smbgw/internal/desired"
	"github.com/pve-smb-gateway/smbgw/internal/link"
	"github.com/pve-smb-gateway/smbgw/internal/link/linktest"
)

func byHand(t *testing.T, b bench, id *link.Identity) agentv1.LinkServiceClient {
	t.Helper()
	tr := &http.Transport{TLSClientConfig: id.TLS(), ForceAttemptHTTP2: true}
	t.Cleanup(tr.CloseIdleConnections)
	return agentv1.NewLinkServiceClient(&http.Client{Transport: tr}, b.URL)
}

func codeOf(err error) string {
	if ce := new(connect.Error); err != nil && connect.CodeOf(err) != connect.CodeUnknown {
		if e, ok := err.(*connect.Error); ok {
			ce = e
		}
		return ce.Meta().Get("Smbgw-Problem")
	}
	return ""
}

// An enrolled machine that does not play by the rules gets nothing, and does not take the link from the one that does.
func TestHostileAgent(t *testing.T) {
	t.Parallel()
	o := quick
	o.DeadAfter = 300 * time.Millisecond
	b := start(t, o)
	dir, id := b.enrol(t, "alpha")
	hand := byHand(t, b, id)
	ctx := t.Context()
	lease := &agentv1.Lease{LinkEpoch: 0, Instance: "x"}
	if _, err := hand.FetchSnapshot(ctx, connect.NewRequest(&agentv1.FetchSnapshotRequest{Lease: lease})); codeOf(err) != link.CodeNotHolder {
		t.Errorf("fetch without a link: %v", err)
	}
	if _, err := hand.Report(ctx, connect.NewRequest(&agentv1.ReportRequest{Format: desired.FormatVersion})); codeOf(err) != link.CodeNotHolder {
		t.Errorf("report without a link: %v", err)
	}
	if _, err := hand.Renew(ctx, connect.NewRequest(&agentv1.RenewRequest{Csr: []byte("x")})); codeOf(err) != link.CodeBadRequest {
		t.Errorf("renew without a request: %v", err)
	}
	hello := &agentv1.AttachRequest{Message: &agentv1.AttachRequest_Hello{Hello: &agentv1.Hello{Instance: "x"}}}
	for name, messages := range map[string][]*agentv1.AttachRequest{
		"says nothing":             {},
		"is empty":                 {{}},
		"begins with a pong":       {{Message: &agentv1.AttachRequest_Pong{Pong: &agentv1.Pong{Number: 1}}}},
		"has no instance":          {{Message: &agentv1.AttachRequest_Hello{Hello: &agentv1.Hello{}}}},
		"does not store the epoch": {hello},
		"stores another epoch":     {hello, {Message: &agentv1.AttachRequest_Stored{Stored: &agentv1.Stored{LinkEpoch: 99}}}},
	} {
		stream := hand.Attach(ctx)
		_ = stream.Send(nil) // the headers
		for _, m := range messages {
			_ = stream.Send(m)
		}
		var err error
		for err == nil {
			_, err = stream.Receive()
		}
		if codeOf(err) != link.CodeBadRequest {
			t.Errorf("an agent that %s: %v", name, err)
		}
		_, _ = stream.CloseRequest(), stream.CloseResponse()
	}
	if n := b.node(t, id.NodeUID); n.LinkEpoch != 0 || n.Online {
		t.Errorf("%+v", n)
	}
	run(t, dir, nil).wait(t, link.StateAttached)
	// Reports that are no reports.
	live := b.node(t, id.NodeUID).LinkEpoch
	for _, guess := range []*agentv1.Lease{nil, {}, {LinkEpoch: live}, {LinkEpoch: live, Instance: "x"}, {LinkEpoch: live + 1}} {
		if _, err := hand.Report(ctx, connect.NewRequest(&agentv1.ReportRequest{Lease: guess, Format: desired.FormatVersion, Payload: []byte("{}")})); codeOf(err) != link.CodeNotHolder {
			t.Errorf("report with a guessed lease: %v", err)
		}
	}
}

// Random histories of one identity on three disks: starts, stops, cut cables, restarts of the server. Link epochs only
// ever grow, and in the end whoever is left alone holds the link.
func TestRandomHistories(t *testing.T) {
	t.Parallel()
	for range 4 {
		seed := rand.Uint64()
		o := quick
		o.PingEvery, o.DeadAfter, o.ProbeFor, o.FencedRetry, o.Quarrel = 20*time.Millisecond, 300*time.Millisecond, 150*time.Millisecond, 50*time.Millisecond, 100*time.Millisecond
		m := &growing{Memory: linktest.NewMemory(time.Now)}
		served := linktest.Serve(t, m, m, o)
		b := bench{served, m.Memory}
		cable := linktest.NewCable(t, b.URL[len("https://"):])
		b.URL = "https://" + cable.Addr
		dir, id := b.enrol(t, "alpha")
		dirs := []string{dir, copyDir(t, dir), copyDir(t, dir)}
		running := make([]*agent, len(dirs))
		r := rand.New(rand.NewPCG(seed, 0))
		for range 60 {
			i := r.IntN(len(dirs))
			switch r.IntN(8) {
			case 0, 1, 2:
				if running[i] == nil {
					a := run(t, dirs[i], func(o *link.ClientOptions) { o.CallTimeout = 300 * time.Millisecond })
					running[i] = &a
				}
			case 3:
				if running[i] != nil {
					running[i].stop()
					running[i] = nil
				}
			case 4:
				cable.Pull()
			case 5:
				cable.Plug()
			case 6:
				if r.IntN(5) == 0 {
					served = served.Again(t, m, m, o)
				}
			case 7:
				if running[i] == nil { // restored from another disk's copy
					dirs[i] = copyDir(t, dirs[r.IntN(len(dirs))])
				}
			}
			time.Sleep(time.Duration(r.IntN(60)) * time.Millisecond)
		}
		cable.Plug()
		for i := range running[1:] {
			if running[i+1] != nil {
				running[i+1].stop()
			}
		}
		if running[0] == nil {
			a := run(t, dirs[0], nil)
			running[0] = &a
		}
		running[0].wait(t, link.StateAttached)
		running[0].SendReport(&desired.Report{NodeUID: id.NodeUID, Revision: desired.Revision{Number: 77}})
		eventually(t, "the report of who is left", func() bool {
			reports := b.node(t, id.NodeUID).Reports
			return len(reports) > 0 && reports[len(reports)-1].Revision.Number == 77
		})
		if m.shrunk.Load() {
			t.Errorf("seed %d: a link epoch was handed out twice", seed)
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// growing notices when a link epoch does not grow.
type growing struct {
	*linktest.Memory
	shrunk atomic.Bool
}

func (g *growing) Attached(ctx context.Context, p link.Peer, a link.Attachment) error {
	if n, _ := g.Node(p.NodeUID); a.LinkEpoch <= n.LinkEpoch {
		g.shrunk.Store(true)
	}
	return g.Memory.Attached(ctx, p, a)
}
