package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

const (
	// ServerName is in every server certificate; agents ask for it whatever address they use.
	ServerName = "server.smbgw.internal"
	// ServerLife is the life of a server certificate. It is renewed when a third of it is left.
	ServerLife = 30 * 24 * time.Hour

	serverFile = "server.pem"
)

// ServerCertificate is the server's own certificate, renewed by itself. It is safe for concurrent use.
type ServerCertificate struct {
	authority *Authority
	names     []string
	ips       []net.IP

	mu   sync.Mutex
	cert *tls.Certificate
}

// Server returns the certificate for a server reached under hosts (names or IP addresses); localhost and the loopback
// addresses are always in it. It is kept in the authority's directory and taken up again after a restart, so that an
// exception made in a browser holds.
func (a *Authority) Server(hosts ...string) (*ServerCertificate, error) {
	s := &ServerCertificate{authority: a}
	for _, h := range append([]string{ServerName, "localhost", "127.0.0.1", "::1"}, hosts...) {
		if ip := net.ParseIP(h); ip != nil {
			if !slices.ContainsFunc(s.ips, ip.Equal) {
				s.ips = append(s.ips, ip)
			}
		} else if h != "" && !slices.Contains(s.names, h) {
			s.names = append(s.names, h)
		}
	}
	raw, err := os.ReadFile(s.path())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	// A file that does not parse, fit or last is simply replaced: nobody depends on this certificate but us.
	if leaf, key, err := parsePair(raw); err == nil && s.fits(leaf) {
		s.cert = s.chain(leaf, key)
	}
	if _, err := s.Get(); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *ServerCertificate) path() string { return filepath.Join(s.authority.dir, serverFile) }

func (s *ServerCertificate) fits(leaf *x509.Certificate) bool {
	return leaf.CheckSignatureFrom(s.authority.cert) == nil && slices.Equal(leaf.DNSNames, s.names) &&
		slices.EqualFunc(leaf.IPAddresses, s.ips, net.IP.Equal)
}

// chain puts the CA behind the leaf: an agent that enrols knows only the CA's fingerprint.
func (s *ServerCertificate) chain(leaf *x509.Certificate, key *ecdsa.PrivateKey) *tls.Certificate {
	return &tls.Certificate{Certificate: [][]byte{leaf.Raw, s.authority.cert.Raw}, PrivateKey: key, Leaf: leaf}
}

// Get returns a certificate with at least a third of its life left, issuing one when needed. When a renewal cannot be
// written to disk the old one is served as long as it is valid.
func (s *ServerCertificate) Get() (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.authority.clock.Now()
	if s.cert != nil && now.Before(RenewAt(s.cert.Leaf)) && !now.Before(s.cert.Leaf.NotBefore) {
		return s.cert, nil
	}
	fresh, err := s.issue(now)
	if err != nil {
		if s.cert != nil && now.Before(s.cert.Leaf.NotAfter) {
			return s.cert, nil
		}
		return nil, err
	}
	s.cert = fresh
	return fresh, nil
}

func (s *ServerCertificate) issue(now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	leaf, err := s.authority.sign(&x509.Certificate{
		Subject:     pkix.Name{Organization: []string{"PVE SMB Gateway"}, CommonName: ServerName},
		NotBefore:   now.Add(-skew),
		NotAfter:    now.Add(ServerLife),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    s.names,
		IPAddresses: s.ips,
	}, key.Public())
	if err != nil {
		return nil, err
	}
	raw, err := encodePair(key, leaf.Raw)
	if err != nil {
		return nil, err
	}
	if err := writeFile(s.path(), raw, 0o600); err != nil {
		return nil, err
	}
	return s.chain(leaf, key), nil
}

// RenewAt returns when two thirds of a certificate's life are over.
func RenewAt(cert *x509.Certificate) time.Time {
	return cert.NotBefore.Add(cert.NotAfter.Sub(cert.NotBefore) * 2 / 3)
}

// TLSConfig returns the server's settings: TLS 1.3, HTTP/2, certificates of agents verified when presented. Handlers for
// agents must demand one ([PeerNode]); browsers and the CLI present none.
func (s *ServerCertificate) TLSConfig() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS13,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.Get() },
		ClientAuth:     tls.VerifyClientCertIfGiven,
		ClientCAs:      s.authority.Pool(),
		Time:           s.authority.clock.Now,
	}
}
