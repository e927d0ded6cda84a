package linktest

import (
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/pve-smb-gateway/smbgw/internal/clock"
	"github.com/pve-smb-gateway/smbgw/internal/link"
	"github.com/pve-smb-gateway/smbgw/internal/pki"
)

// Served is a running link server.
type Served struct {
	*link.Server
	CA   *pki.Authority
	URL  string
	addr string
	dir  string
	http *http.Server
}

// Serve runs a link server on a free loopback port until the test ends. nodes and store are often one [Memory].
func Serve(t testing.TB, nodes link.Nodes, store link.Store, o link.Options) *Served {
	t.Helper()
	return serve(t, nodes, store, o, t.TempDir(), "127.0.0.1:0")
}

// Again stops s and serves anew at the same address with the same CA, as after a restart of the control plane.
func (s *Served) Again(t testing.TB, nodes link.Nodes, store link.Store, o link.Options) *Served {
	t.Helper()
	s.Close()
	return serve(t, nodes, store, o, s.dir, s.addr)
}

// Close ends the server and all its connections.
func (s *Served) Close() { _ = s.http.Close() }

func serve(t testing.TB, nodes link.Nodes, store link.Store, o link.Options, dir, addr string) *Served {
	t.Helper()
	c := o.Clock
	if c == nil {
		c = clock.System
	}
	ca, err := pki.Open(dir, c)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Server()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	s := &Served{Server: link.NewServer(nodes, store, ca, o), CA: ca, dir: dir, addr: l.Addr().String()}
	s.URL = "https://" + s.addr
	mux := http.NewServeMux()
	s.Mount(mux)
	s.http = &http.Server{Handler: mux, TLSConfig: cert.TLSConfig(), ErrorLog: log.New(io.Discard, "", 0)}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.http.ServeTLS(l, "", "") }()
	t.Cleanup(func() { s.Close(); <-done })
	return s
}

// Cable is a TCP relay that can be pulled: then it passes nothing on and closes nothing, as a cut network does.
type Cable struct {
	Addr string
	to   string

	mu     sync.Mutex
	pulled bool
	moved  chan struct{} // closed and replaced at Pull and Plug
}

// NewCable relays a free loopback port to addr until the test ends.
func NewCable(t testing.TB, addr string) *Cable {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &Cable{Addr: l.Addr().String(), to: addr, moved: make(chan struct{})}
	var conns sync.Map
	t.Cleanup(func() {
		_ = l.Close()
		c.Plug()
		conns.Range(func(k, _ any) bool { _ = k.(net.Conn).Close(); return true })
	})
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", c.to)
			if err != nil {
				_ = in.Close()
				continue
			}
			conns.Store(in, nil)
			conns.Store(out, nil)
			go c.relay(in, out)
			go c.relay(out, in)
		}
	}()
	return c
}

// Pull cuts the cable.
func (c *Cable) Pull() { c.set(true) }

// Plug puts it back; what was held up flows on.
func (c *Cable) Plug() { c.set(false) }

func (c *Cable) set(pulled bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pulled = pulled
	close(c.moved)
	c.moved = make(chan struct{})
}

func (c *Cable) wait() {
	for {
		c.mu.Lock()
		pulled, moved := c.pulled, c.moved
		c.mu.Unlock()
		if !pulled {
			return
		}
		<-moved
	}
}

func (c *Cable) relay(from, to net.Conn) {
	defer func() { _, _ = from.Close(), to.Close() }()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		c.wait() // an end of stream does not pass a pulled cable either
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
