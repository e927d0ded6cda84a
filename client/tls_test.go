package client

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"
)

type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{cert, key}
}

// leaf returns a certificate for a server or an agent, with the CA behind it.
func (a authority) leaf(t *testing.T, usage x509.ExtKeyUsage, life time.Duration, sentCA *x509.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: serverName}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(life), ExtKeyUsage: []x509.ExtKeyUsage{usage}, DNSNames: []string{serverName}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der, sentCA.Raw}, PrivateKey: key}
}

func tlsServer(t *testing.T, cert tls.Certificate) string {
	t.Helper()
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answer(w, 200, Identity{Name: "me"}) }))
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13}
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes are what is tested
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv.URL
}

func TestPin(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	good := ca.leaf(t, x509.ExtKeyUsageServerAuth, time.Hour, ca.cert)
	for _, tt := range []struct {
		name string
		cert tls.Certificate
		pin  string
		want bool
	}{
		{"the pinned CA", good, Fingerprint(ca.cert), true},
		{"the pinned CA, with padding", good, Fingerprint(ca.cert) + "=", true},
		{"another CA", good, Fingerprint(other.cert), false},
		{"another CA that shows the pinned one", other.leaf(t, x509.ExtKeyUsageServerAuth, time.Hour, ca.cert), Fingerprint(ca.cert), false},
		{"an agent of the pinned CA", ca.leaf(t, x509.ExtKeyUsageClientAuth, time.Hour, ca.cert), Fingerprint(ca.cert), false},
		{"an expired server", ca.leaf(t, x509.ExtKeyUsageServerAuth, -time.Minute, ca.cert), Fingerprint(ca.cert), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := New(Options{Server: tlsServer(t, tt.cert), Fingerprint: tt.pin, Token: "secret", Retries: -1})
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.Me(t.Context())
			if (err == nil) != tt.want {
				t.Errorf("%v, want success %v", err, tt.want)
			}
			if tt.name == "another CA" && !errors.Is(err, ErrFingerprint) {
				t.Errorf("%v, want ErrFingerprint", err)
			}
		})
	}
}

func TestCAFileAndFingerprint(t *testing.T) {
	ca := newAuthority(t)
	server := tlsServer(t, ca.leaf(t, x509.ExtKeyUsageServerAuth, time.Hour, ca.cert))
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := New(Options{Server: server, CAFile: file})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Me(t.Context()); err != nil {
		t.Error(err)
	}
	c, err = New(Options{Server: server, Retries: -1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Me(t.Context()); err == nil {
		t.Error("a CA that nobody knows was trusted")
	}
	got, known, err := ServerFingerprint(t.Context(), server)
	if err != nil || known || got != Fingerprint(ca.cert) {
		t.Errorf("ServerFingerprint: %q, %v, %v; want %q", got, known, err, Fingerprint(ca.cert))
	}
}
