package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"net/url"
	"strings"
	"time"
)

// AgentLife is the life of an agent's certificate.
const AgentLife = 90 * 24 * time.Hour

const nodeURIPrefix = "smbgw://node/"

// ErrBadRequest is returned for a certificate request that is damaged, not signed by its key, or of another kind of key
// than ECDSA P-256.
var ErrBadRequest = errors.New("pki: the certificate request is not valid: it must be signed by its own ECDSA P-256 key")

// NewKey returns a new key for an agent.
func NewKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

// NewRequest returns a certificate request (DER) for key. It names nobody: the CA decides the name.
func NewRequest(key crypto.Signer) ([]byte, error) {
	return x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
}

// ParseRequest checks a certificate request (DER) and returns its public key.
func ParseRequest(der []byte) (*ecdsa.PublicKey, error) {
	req, err := x509.ParseCertificateRequest(der)
	if err != nil || req.CheckSignature() != nil {
		return nil, ErrBadRequest
	}
	key, ok := req.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, ErrBadRequest
	}
	return key, nil
}

// SignAgent returns a certificate (DER) by which the holder of key is the node nodeUID for [AgentLife].
func (a *Authority) SignAgent(key *ecdsa.PublicKey, nodeUID string) (*x509.Certificate, error) {
	now := a.clock.Now()
	return a.sign(&x509.Certificate{
		Subject:     pkix.Name{Organization: []string{"PVE SMB Gateway"}, CommonName: nodeUID},
		NotBefore:   now.Add(-skew),
		NotAfter:    now.Add(AgentLife),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		URIs:        []*url.URL{{Scheme: "smbgw", Host: "node", Path: "/" + nodeUID}},
	}, key)
}

// sign completes template as a leaf of this CA.
func (a *Authority) sign(template *x509.Certificate, key crypto.PublicKey) (*x509.Certificate, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.BasicConstraintsValid = true
	if template.NotAfter.After(a.cert.NotAfter) {
		template.NotAfter = a.cert.NotAfter
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key, a.key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// KeyHash returns the SHA-256, in hex, of a public key in PKIX form. A node keeps its key when its certificate is
// renewed, and has another one after it was enrolled anew.
func KeyHash(key crypto.PublicKey) string {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil { // no key of a parsed certificate gets here
		return ""
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

// PeerNode returns the certificate by which the client of a verified connection is a node, and that node's UID. ok is
// false for clients without one.
func PeerNode(state *tls.ConnectionState) (nodeUID string, cert *x509.Certificate, ok bool) {
	if state == nil || len(state.VerifiedChains) == 0 || state.Version < tls.VersionTLS13 {
		return "", nil, false
	}
	cert = state.VerifiedChains[0][0]
	for _, u := range cert.URIs {
		if uid, found := strings.CutPrefix(u.String(), nodeURIPrefix); found && uid != "" && uid == cert.Subject.CommonName {
			return uid, cert, true
		}
	}
	return "", nil, false
}

// ErrFingerprint is returned when a server's CA is not the one that was named.
var ErrFingerprint = errors.New("the server's certificate authority does not have the expected fingerprint: " +
	"compare it with the one the server prints at its start; if it differs, this is another server or someone is in between")

// PinnedClient returns settings that accept only a server whose certificate was issued by the CA with this fingerprint.
// The CA itself is passed to found, which may be nil.
func PinnedClient(fingerprint string, found func(ca *x509.Certificate)) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		ServerName: ServerName,
		// The system's roots have no say: VerifyConnection below does all of the verification, from the pinned CA.
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			for _, c := range state.PeerCertificates {
				if !c.IsCA || Fingerprint(c) != fingerprint {
					continue
				}
				pool := x509.NewCertPool()
				pool.AddCert(c)
				opts := x509.VerifyOptions{Roots: pool, DNSName: ServerName, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
				if _, err := state.PeerCertificates[0].Verify(opts); err != nil {
					return err
				}
				if found != nil {
					found(c)
				}
				return nil
			}
			return ErrFingerprint
		},
	}
}

// MutualClient returns settings for a client that trusts ca alone and presents cert.
func MutualClient(ca *x509.Certificate, cert tls.Certificate) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		ServerName:   ServerName,
		RootCAs:      pool,
		Certificates: []tls.Certificate{cert},
	}
}
