package linktest

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/link"
	"github.com/pve-smb-gateway/smbgw/internal/problem"
	"github.com/pve-smb-gateway/smbgw/internal/secret"
)

// Subject is an implementation of [link.Nodes] with what else the suite needs.
type Subject interface {
	link.Nodes
	// NewToken returns a token by which a machine becomes the node name, new or again.
	NewToken(ctx context.Context, name string, ttl time.Duration) (string, error)
	Delete(ctx context.Context, uid string) error
}

// NodesSuite checks what the link relies on. advance moves the subject's clock.
func NodesSuite(t *testing.T, s Subject, advance func(d time.Duration)) {
	ctx := t.Context()
	token := func(name string) string {
		t.Helper()
		tok, err := s.NewToken(ctx, name, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		return tok
	}
	enrol := func(tok, key string) (link.Enrolled, error) {
		return s.Enrol(ctx, link.Enrolment{Token: secret.NewString(tok), KeyHash: key, Facts: link.Facts{Hostname: "h"}, Addr: "192.0.2.1"})
	}
	refused := func(what string, err error) {
		t.Helper()
		if !problem.Is(err, "node.token_invalid") {
			t.Errorf("%s: %v", what, err)
		}
	}

	first := token("alpha")
	a, err := enrol(first, "key1")
	if err != nil || a.NodeName != "alpha" || a.NodeUID == "" {
		t.Fatalf("%+v, %v", a, err)
	}
	if again, err := enrol(first, "key1"); err != nil || again != a {
		t.Errorf("the same machine once more: %+v, %v", again, err)
	}
	_, err = enrol(first, "key2")
	refused("a used token with another key", err)
	_, err = enrol("", "key2")
	refused("no token", err)
	_, err = enrol("smbgw-enrol-guess", "key2")
	refused("a guessed token", err)
	late := token("late")
	advance(time.Minute + time.Second)
	_, err = enrol(late, "key3")
	refused("an expired token", err)
	_, err = enrol(first, "key1")
	refused("a token that was used and has expired since", err)

	// Of many machines with one token exactly one wins.
	one := token("one")
	var wg sync.WaitGroup
	var won atomic.Int32
	for i := range 8 {
		wg.Go(func() {
			if _, err := enrol(one, "race"+string(rune('a'+i))); err == nil {
				won.Add(1)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d machines won one token", won.Load())
	}

	peer := link.Peer{NodeUID: a.NodeUID, KeyHash: "key1", Addr: "192.0.2.1"}
	admit := func(p link.Peer, want uint64) {
		t.Helper()
		if got, err := s.Admit(ctx, p); err != nil || got != want {
			t.Errorf("link epoch %d, %v; want %d", got, err, want)
		}
	}
	unknown := func(p link.Peer) {
		t.Helper()
		if _, err := s.Admit(ctx, p); !problem.Is(err, link.CodeUnknownNode) {
			t.Errorf("admit %+v: %v", p, err)
		}
	}
	admit(peer, a.LinkEpoch)
	unknown(link.Peer{NodeUID: "nobody", KeyHash: "key1"})
	unknown(link.Peer{NodeUID: a.NodeUID, KeyHash: "key2"})
	if err := s.Attached(ctx, peer, link.Attachment{LinkEpoch: 7}); err != nil {
		t.Fatal(err)
	}
	admit(peer, 7)
	f := link.Fencing{HolderAddr: "192.0.2.1", NewcomerAddr: "192.0.2.2"}
	for _, err := range []error{
		s.Fenced(ctx, a.NodeUID, f), s.Fenced(ctx, a.NodeUID, f), s.Unfenced(ctx, a.NodeUID), s.Unfenced(ctx, a.NodeUID),
		s.Detached(ctx, a.NodeUID),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	admit(peer, 7)

	// Enrolled anew: the same node, another key; the link epoch goes on.
	b, err := enrol(token("alpha"), "key9")
	if err != nil || b.NodeUID != a.NodeUID || b.LinkEpoch != 7 {
		t.Errorf("enrolled anew: %+v, %v", b, err)
	}
	unknown(peer)
	peer.KeyHash = "key9"
	admit(peer, 7)

	if err := s.Delete(ctx, a.NodeUID); err != nil {
		t.Fatal(err)
	}
	unknown(peer)
	c, err := enrol(token("alpha"), "key9")
	if err != nil || c.NodeUID == a.NodeUID {
		t.Errorf("after the deletion: %+v, %v", c, err)
	}
}
