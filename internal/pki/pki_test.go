package pki_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/clock"
	"github.com/pve-smb-gateway/smbgw/internal/pki"
)

func open(t *testing.T, dir string, c clock.Clock) *pki.Authority {
	t.Helper()
	a, err := pki.Open(dir, c)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// shake makes a TLS connection over loopback and returns what each side saw.
func shake(t *testing.T, server, client *tls.Config) (seen tls.ConnectionState, serverErr, clientErr error) {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			serverErr = err
			return
		}
		defer func() { _ = conn.Close() }()
		serverErr = conn.(*tls.Conn).HandshakeContext(t.Context())
		seen = conn.(*tls.Conn).ConnectionState()
		_, _ = conn.Write([]byte("x"))
	}()
	conn, clientErr := tls.Dial("tcp", l.Addr().String(), client)
	if clientErr == nil {
		_, clientErr = conn.Read(make([]byte, 1)) // in TLS 1.3 a refused client learns it here
		_ = conn.Close()
	}
	<-done
	return seen, serverErr, clientErr
}

func agentCert(t *testing.T, a *pki.Authority, uid string) tls.Certificate {
	t.Helper()
	key, err := pki.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := a.SignAgent(&key.PublicKey, uid)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

func TestAuthorityIsMadeOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	prints := make([]string, 8)
	var wg sync.WaitGroup
	for i := range prints {
		wg.Go(func() {
			a, err := pki.Open(dir, clock.System)
			if err != nil {
				t.Error(err)
				return
			}
			prints[i] = a.Fingerprint()
		})
	}
	wg.Wait()
	if len(slices.Compact(prints)) != 1 || !strings.HasPrefix(prints[0], "SHA256:") || len(prints[0]) != 50 {
		t.Errorf("fingerprints %v", prints)
	}
	for name, mode := range map[string]os.FileMode{"ca.pem": 0o600, "ca.crt": 0o644} {
		st, err := os.Stat(filepath.Join(dir, name))
		if err != nil || st.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", name, st.Mode(), err)
		}
	}
	public, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil || bytes.Contains(public, []byte("PRIVATE")) {
		t.Errorf("ca.crt: %s, %v", public, err)
	}
	left, err := filepath.Glob(filepath.Join(dir, ".*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// A damaged authority is never replaced by itself: all nodes trust the old one.
func TestDamagedAuthority(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, clock.System)
	path := filepath.Join(dir, "ca.pem")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other := t.TempDir()
	open(t, other, clock.System)
	foreign, err := os.ReadFile(filepath.Join(other, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	cut := bytes.Index(raw, []byte("-----BEGIN CERT"))
	mixed := append(slices.Clone(raw[:cut]), foreign[bytes.Index(foreign, []byte("-----BEGIN CERT")):]...)
	for _, bad := range [][]byte{{}, raw[:len(raw)/2], raw[:cut], raw[cut:], mixed, []byte("nonsense")} {
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := pki.Open(dir, clock.System); err == nil || !strings.Contains(err.Error(), "restore") {
			t.Errorf("%d bytes: %v", len(bad), err)
		}
		if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, bad) {
			t.Error("the file was changed")
		}
	}
}

func TestServerCertificate(t *testing.T) {
	fake := clock.NewFake(time.Now())
	dir := t.TempDir()
	a := open(t, dir, fake)
	s, err := a.Server("gw.example.com", "192.0.2.1", "2001:db8::1", "", "localhost")
	if err != nil {
		t.Fatal(err)
	}
	get := func() *x509.Certificate {
		t.Helper()
		c, err := s.Get()
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Certificate) != 2 || !bytes.Equal(c.Certificate[1], a.Certificate().Raw) {
			t.Error("the CA is not in the chain")
		}
		return c.Leaf
	}
	first := get()
	for _, host := range []string{"gw.example.com", "192.0.2.1", "2001:db8::1", "localhost", "127.0.0.1", "::1", pki.ServerName} {
		if _, err := first.Verify(x509.VerifyOptions{Roots: a.Pool(), DNSName: host}); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	if life := first.NotAfter.Sub(fake.Now()); life > pki.ServerLife {
		t.Errorf("life %v", life)
	}
	// After a restart the same certificate is used, so that browsers do not ask again; with other names a new one is.
	s, err = open(t, dir, fake).Server("gw.example.com", "192.0.2.1", "2001:db8::1")
	if err != nil {
		t.Fatal(err)
	}
	if !get().Equal(first) {
		t.Error("another certificate after a restart")
	}
	if st, err := os.Stat(filepath.Join(dir, "server.pem")); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("server.pem: %v, %v", st.Mode(), err)
	}
	fake.Advance(pki.ServerLife/2 + time.Hour)
	if !get().Equal(first) {
		t.Error("renewed too early")
	}
	// A running TLS configuration takes up the renewed one.
	config := s.TLSConfig()
	fake.Advance(pki.ServerLife / 3)
	client := &tls.Config{RootCAs: a.Pool(), ServerName: "gw.example.com", Time: fake.Now}
	var leaf *x509.Certificate
	client.VerifyConnection = func(cs tls.ConnectionState) error { leaf = cs.PeerCertificates[0]; return nil }
	if _, serverErr, clientErr := shake(t, config, client); serverErr != nil || clientErr != nil {
		t.Fatal(serverErr, clientErr)
	}
	if leaf.Equal(first) || !leaf.NotAfter.After(first.NotAfter) {
		t.Error("not renewed")
	}
	second := get()
	if s, err = a.Server("other.example.com"); err != nil || get().Equal(second) {
		t.Errorf("the certificate does not follow the names: %v", err)
	}
	// Damage to this file does no harm.
	if err := os.WriteFile(filepath.Join(dir, "server.pem"), []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err = a.Server("other.example.com"); err != nil {
		t.Error(err)
	}
}

// When the disk is full a renewal fails; the old certificate is served to its end.
func TestRenewalCannotBeStored(t *testing.T) {
	fake := clock.NewFake(time.Now())
	dir := filepath.Join(t.TempDir(), "pki")
	s, err := open(t, dir, fake).Server()
	if err != nil {
		t.Fatal(err)
	}
	first, err := s.Get()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil { // also stops root
		t.Fatal(err)
	}
	fake.Advance(pki.ServerLife * 5 / 6)
	if c, err := s.Get(); err != nil || c != first {
		t.Errorf("%v, %v", c, err)
	}
	fake.Advance(pki.ServerLife / 3)
	if _, err := s.Get(); err == nil {
		t.Error("an expired certificate is served")
	}
}

func TestPinnedClient(t *testing.T) {
	a, other := open(t, t.TempDir(), clock.System), open(t, t.TempDir(), clock.System)
	s, err := a.Server()
	if err != nil {
		t.Fatal(err)
	}
	var found *x509.Certificate
	_, serverErr, clientErr := shake(t, s.TLSConfig(), pki.PinnedClient(a.Fingerprint(), func(c *x509.Certificate) { found = c }))
	if serverErr != nil || clientErr != nil || !found.Equal(a.Certificate()) {
		t.Errorf("%v, %v", serverErr, clientErr)
	}
	if _, _, err := shake(t, s.TLSConfig(), pki.PinnedClient(other.Fingerprint(), nil)); !errors.Is(err, pki.ErrFingerprint) {
		t.Errorf("another CA: %v", err)
	}
	// Someone in between shows the right CA, but cannot have a leaf of it.
	forged, err := other.Server()
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := forged.Get()
	if err != nil {
		t.Fatal(err)
	}
	mixed := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{leaf.Certificate[0], a.Certificate().Raw}, PrivateKey: leaf.PrivateKey}}}
	if _, _, err := shake(t, mixed, pki.PinnedClient(a.Fingerprint(), nil)); err == nil {
		t.Error("a forged chain was accepted")
	}
	// A node cannot play the server: its certificate is for clients only, and has not the server's name.
	agent := agentCert(t, a, "uid")
	agent.Certificate = append(agent.Certificate, a.Certificate().Raw)
	if _, _, err := shake(t, &tls.Config{Certificates: []tls.Certificate{agent}}, pki.PinnedClient(a.Fingerprint(), nil)); err == nil {
		t.Error("a node's certificate was accepted as the server's")
	}
	// Nor can a server with TLS 1.2.
	old := s.TLSConfig()
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	if _, _, err := shake(t, old, pki.PinnedClient(a.Fingerprint(), nil)); err == nil {
		t.Error("TLS 1.2 was accepted")
	}
}

func TestMutual(t *testing.T) {
	a, other := open(t, t.TempDir(), clock.System), open(t, t.TempDir(), clock.System)
	s, err := a.Server()
	if err != nil {
		t.Fatal(err)
	}
	cert := agentCert(t, a, "node-uid")
	seen, serverErr, clientErr := shake(t, s.TLSConfig(), pki.MutualClient(a.Certificate(), cert))
	if serverErr != nil || clientErr != nil {
		t.Fatal(serverErr, clientErr)
	}
	uid, leaf, ok := pki.PeerNode(&seen)
	if !ok || uid != "node-uid" || !leaf.Equal(mustParse(t, cert.Certificate[0])) {
		t.Errorf("peer %q, %v", uid, ok)
	}
	if life := time.Until(leaf.NotAfter); life > pki.AgentLife || life < pki.AgentLife-time.Minute {
		t.Errorf("life %v", life)
	}
	if pki.KeyHash(leaf.PublicKey) != pki.KeyHash(&cert.PrivateKey.(*ecdsa.PrivateKey).PublicKey) {
		t.Error("two hashes of one key")
	}
	// A node of another control plane does not get in, and does not trust us.
	stranger := agentCert(t, other, "node-uid")
	polite := pki.MutualClient(a.Certificate(), stranger) // does not send a certificate that the server did not ask for
	seen, serverErr, _ = shake(t, s.TLSConfig(), polite)
	if _, _, ok := pki.PeerNode(&seen); serverErr == nil && ok {
		t.Error("a certificate of another CA was accepted")
	}
	rude := polite.Clone()
	rude.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &stranger, nil }
	if _, serverErr, _ = shake(t, s.TLSConfig(), rude); serverErr == nil {
		t.Error("a certificate of another CA was accepted")
	}
	if _, _, clientErr := shake(t, s.TLSConfig(), pki.MutualClient(other.Certificate(), stranger)); clientErr == nil {
		t.Error("a server of another CA was accepted")
	}
	// A browser has no certificate and is let in, but is no node.
	seen, serverErr, clientErr = shake(t, s.TLSConfig(), &tls.Config{RootCAs: a.Pool(), ServerName: "localhost"})
	if _, _, ok := pki.PeerNode(&seen); serverErr != nil || clientErr != nil || ok {
		t.Errorf("browser: %v, %v, %v", serverErr, clientErr, ok)
	}
	// The server's own certificate makes nobody a node.
	own, err := s.Get()
	if err != nil {
		t.Fatal(err)
	}
	if _, serverErr, _ := shake(t, s.TLSConfig(), pki.MutualClient(a.Certificate(), *own)); serverErr == nil {
		t.Error("the server's certificate was accepted as a node's")
	}
	if _, _, ok := pki.PeerNode(nil); ok {
		t.Error("no TLS, yet a node")
	}
}

func mustParse(t *testing.T, der []byte) *x509.Certificate {
	t.Helper()
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestParseRequest(t *testing.T) {
	key, err := pki.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	der, err := pki.NewRequest(key)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pki.ParseRequest(der)
	if err != nil || !got.Equal(&key.PublicKey) {
		t.Errorf("%v", err)
	}
	forged := slices.Clone(der)
	forged[len(forged)-1] ^= 1
	weak, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	otherCurve, err := pki.NewRequest(weak)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range [][]byte{nil, {1}, der[:len(der)-1], forged, otherCurve} {
		if _, err := pki.ParseRequest(bad); !errors.Is(err, pki.ErrBadRequest) {
			t.Errorf("%d bytes: %v", len(bad), err)
		}
	}
}

// An address nobody told the server, as behind NAT: agents ask for the server's name, not for the address.
func TestUnknownAddress(t *testing.T) {
	a := open(t, t.TempDir(), clock.System)
	s, err := a.Server()
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := s.Get()
	if err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(leaf.Leaf.IPAddresses, net.ParseIP("127.0.0.2").Equal) {
		t.Fatal("the test needs an address that is not in the certificate")
	}
	l, err := tls.Listen("tcp", "127.0.0.2:0", s.TLSConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		conn, err := l.Accept()
		if err == nil {
			_ = conn.(*tls.Conn).HandshakeContext(t.Context())
			_ = conn.Close()
		}
	}()
	conn, err := tls.Dial("tcp", l.Addr().String(), pki.PinnedClient(a.Fingerprint(), nil))
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
}
