package client

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
)

// ErrFingerprint is returned when the server's CA is not the one that was named.
var ErrFingerprint = errors.New("the server's certificate authority does not have the expected fingerprint; compare it with the one " +
	"the server prints at its start: if it differs, this is another server or someone is in between")

// serverName is in every certificate that a control plane issues to itself, whatever its address.
const serverName = "server.smbgw.internal"

// Fingerprint returns "SHA256:" and the unpadded base64 of the certificate's SHA-256.
func Fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}

func tlsConfig(o Options) (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	switch {
	case o.CAFile != "":
		pem, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, err
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate in PEM", o.CAFile)
		}
	case o.Fingerprint != "":
		sum, ok := strings.CutPrefix(o.Fingerprint, "SHA256:")
		digest, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(sum, "="))
		if !ok || err != nil || len(digest) != sha256.Size {
			return nil, fmt.Errorf("%q is not a fingerprint; it reads SHA256: and 43 letters and digits", o.Fingerprint)
		}
		want := "SHA256:" + base64.RawStdEncoding.EncodeToString(digest)
		// The system's roots have no say: VerifyConnection does all of the verification, from the pinned CA.
		conf.InsecureSkipVerify = true
		conf.VerifyConnection = func(state tls.ConnectionState) error { return verifyPin(state, want) }
	}
	return conf, nil
}

// verifyPin accepts a server whose chain ends in the CA with this fingerprint. The name is not compared with the address
// that was dialled: this CA signs servers of one control plane only, and people reach it through tunnels and forwards.
func verifyPin(state tls.ConnectionState, want string) error {
	for _, ca := range state.PeerCertificates {
		if !ca.IsCA || Fingerprint(ca) != want {
			continue
		}
		roots := x509.NewCertPool()
		roots.AddCert(ca)
		_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, DNSName: serverName,
			KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
		return err
	}
	return ErrFingerprint
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// ServerFingerprint returns the fingerprint of the CA that a server presents, for a person to compare. known tells that
// the system trusts the server anyway. Nothing else is sent over this connection.
func ServerFingerprint(ctx context.Context, server string) (fingerprint string, known bool, err error) {
	c, err := New(Options{Server: server})
	if err != nil {
		return "", false, err
	}
	if c.base.Scheme == "http" {
		return "", true, nil
	}
	host := c.base.Host
	if c.base.Port() == "" {
		host = net.JoinHostPort(c.base.Hostname(), "443")
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true} // nothing is believed: a person compares
	conn, err := (&tls.Dialer{Config: conf}).DialContext(ctx, "tcp", host)
	if err != nil {
		return "", false, c.unreachable(ctx, err)
	}
	defer func() { _ = conn.Close() }()
	chain := conn.(*tls.Conn).ConnectionState().PeerCertificates
	between := x509.NewCertPool()
	for _, cert := range chain[1:] {
		between.AddCert(cert)
	}
	if _, err := chain[0].Verify(x509.VerifyOptions{DNSName: c.base.Hostname(), Intermediates: between}); err == nil {
		return "", true, nil
	}
	for _, cert := range chain {
		if cert.IsCA && verifyPin(conn.(*tls.Conn).ConnectionState(), Fingerprint(cert)) == nil {
			return Fingerprint(cert), false, nil
		}
	}
	return "", false, fmt.Errorf("%s does not present the certificate of a PVE SMB Gateway", host)
}
