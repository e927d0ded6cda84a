package probe

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"net"
	"sync"
	"time"

	"github.com/cloudsoda/go-smb2"
)

// Workstation is the name under which probes log in, by which logs and audit can tell them from people.
const Workstation = "SMBGW-PROBE"

// idle is how long a session without a probe is kept, in case another probe follows.
const idle = time.Second

// login is an account that logs in; the zero value is an anonymous client.
type login struct{ user, hash string }

// pool keeps sessions for many probes to share, because a login costs more than the rest of a probe. They are short-lived:
// smbd decides at login and at the first use of a share what a client may, so that a session says nothing about rules that
// came later.
type pool struct {
	addr    string
	timeout time.Duration

	mu   sync.Mutex
	live map[login]*session
}

// session is a login that several probes share.
type session struct {
	pool    *pool
	login   login
	ready   chan struct{} // closed when smb or err is set
	smb     *smb2.Session
	err     error
	dialect string

	users int // under pool.mu
	stale bool
}

// get returns a session of l, which the caller releases.
func (p *pool) get(ctx context.Context, l login) (*session, error) {
	p.mu.Lock()
	s := p.live[l]
	if s == nil {
		s = &session{pool: p, login: l, ready: make(chan struct{})}
		if p.live == nil {
			p.live = map[login]*session{}
		}
		p.live[l] = s
		go s.dial()
	}
	s.users++
	p.mu.Unlock()
	select {
	case <-s.ready:
	case <-ctx.Done():
		s.release()
		return nil, context.Cause(ctx)
	}
	if s.err != nil {
		s.release()
		return nil, s.err
	}
	return s, nil
}

func (s *session) dial() {
	ctx, cancel := context.WithTimeout(context.Background(), s.pool.timeout)
	defer cancel()
	defer close(s.ready)
	s.smb, s.dialect, s.err = dial(ctx, s.pool.addr, s.login)
	if s.err != nil {
		s.discard()
	}
}

// dial logs in at addr.
func dial(ctx context.Context, addr string, l login) (*smb2.Session, string, error) {
	initiator := &smb2.NTLMInitiator{User: l.user, Workstation: Workstation}
	if l.hash != "" {
		hash, err := hex.DecodeString(l.hash)
		if err != nil {
			return nil, "", err
		}
		initiator.Hash = hash
	}
	var nd net.Dialer
	raw, err := nd.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, "", err
	}
	conn := &sniffer{Conn: raw}
	d := smb2.Dialer{Initiator: initiator}
	smb, err := d.DialConn(ctx, conn, addr)
	if err != nil {
		_ = raw.Close()
		return nil, "", err
	}
	return smb, conn.dialect(), nil
}

// release gives the session back.
func (s *session) release() {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	s.users--
	if s.users > 0 {
		return
	}
	if s.stale {
		go s.close()
		return
	}
	time.AfterFunc(idle, func() {
		s.pool.mu.Lock()
		defer s.pool.mu.Unlock()
		if s.users == 0 && !s.stale {
			s.stale = true
			delete(s.pool.live, s.login)
			go s.close()
		}
	})
}

// discard keeps others from using the session; it is closed when its last user has released it.
func (s *session) discard() {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	s.discardLocked()
}

func (s *session) discardLocked() {
	if s.stale {
		return
	}
	s.stale = true
	delete(s.pool.live, s.login)
	if s.users == 0 {
		go s.close()
	}
}

// renew makes later probes log in anew.
func (p *pool) renew() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.live {
		s.discardLocked()
	}
}

func (s *session) close() {
	<-s.ready
	if s.smb == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = s.smb.WithContext(ctx).Logoff() // closes the connection, whatever the answer
}

// mount connects to a share; the context holds for everything done on it.
func (s *session) mount(ctx context.Context, share string) (*smb2.Share, error) {
	// smbd does not look at the server's name; a name of ours keeps IPv6 addresses out of the path.
	sh, err := s.smb.WithContext(ctx).Mount(`\\` + Workstation + `\` + share)
	if err != nil {
		return nil, err
	}
	return sh.WithContext(ctx), nil
}

// sniffer keeps the start of what the server sends, which tells the dialect; the client library does not.
type sniffer struct {
	net.Conn
	mu   sync.Mutex
	seen []byte
}

// Where the dialect is in the first message: after 4 bytes of length, 64 of header, and 4 of the answer to NEGOTIATE.
const dialectAt = 4 + 64 + 4

func (c *sniffer) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	if missing := dialectAt + 2 - len(c.seen); missing > 0 {
		c.seen = append(c.seen, b[:min(missing, max(n, 0))]...)
	}
	c.mu.Unlock()
	return n, err
}

func (c *sniffer) dialect() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.seen) < dialectAt+2 {
		return ""
	}
	switch binary.LittleEndian.Uint16(c.seen[dialectAt:]) {
	case 0x0202:
		return "SMB 2.0.2"
	case 0x0210:
		return "SMB 2.1"
	case 0x0300:
		return "SMB 3.0"
	case 0x0302:
		return "SMB 3.0.2"
	case 0x0311:
		return "SMB 3.1.1"
	}
	return ""
}
