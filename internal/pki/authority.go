package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/clock"
)

const (
	// authorityLife is long: every agent pins the CA, so a new CA means enrolling every node again.
	authorityLife = 20 * 365 * 24 * time.Hour
	// skew is how far a peer's clock may lag behind ours without refusing a fresh certificate.
	skew = time.Hour

	authorityFile = "ca.pem" // key and certificate in one file, so that there is never one without the other
	publicFile    = "ca.crt" // the certificate alone, for browsers and the CLI
)

// Authority is the certificate authority of one control plane. It is safe for concurrent use.
type Authority struct {
	dir   string
	cert  *x509.Certificate
	key   *ecdsa.PrivateKey
	clock clock.Clock
}

// Open reads the authority kept in dir, or makes a new one there (directory 0700, key file 0600).
func Open(dir string, c clock.Clock) (*Authority, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, authorityFile)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if raw, err = newAuthority(c.Now()); err != nil {
			return nil, err
		}
		raw, err = createOnce(path, raw)
	}
	if err != nil {
		return nil, err
	}
	cert, key, err := parsePair(raw)
	if err != nil || !cert.IsCA {
		return nil, fmt.Errorf("%s holds no certificate authority: restore it from a backup, or remove it and enrol all nodes again", path)
	}
	a := &Authority{dir: dir, cert: cert, key: key, clock: c}
	if err := writeFile(filepath.Join(dir, publicFile), a.PEM(), 0o644); err != nil {
		return nil, err
	}
	return a, nil
}

func newAuthority(now time.Time) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		// The number tells several control planes apart in a browser's list.
		Subject:               pkix.Name{Organization: []string{"PVE SMB Gateway"}, CommonName: fmt.Sprintf("PVE SMB Gateway CA %x", serial.Bytes()[:4])},
		NotBefore:             now.Add(-skew),
		NotAfter:              now.Add(authorityLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return encodePair(key, der)
}

// Certificate returns the CA's certificate.
func (a *Authority) Certificate() *x509.Certificate { return a.cert }

// PEM returns the CA's certificate in PEM.
func (a *Authority) PEM() []byte { return encodeCerts(a.cert.Raw) }

// Fingerprint returns the CA's fingerprint, see [Fingerprint].
func (a *Authority) Fingerprint() string { return Fingerprint(a.cert) }

// Pool returns a pool that trusts this CA alone.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// Fingerprint returns "SHA256:" and the unpadded base64 of the certificate's SHA-256, in the manner of ssh-keygen.
func Fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}

// newSerial returns a random positive serial number of 16 bytes.
func newSerial() (*big.Int, error) {
	b := make([]byte, 16)
	if _, err := rand.Read(b); err != nil {
		return nil, err
	}
	b[0] = b[0]&0x7f | 0x40
	return new(big.Int).SetBytes(b), nil
}

func encodeCerts(ders ...[]byte) []byte {
	var out []byte
	for _, der := range ders {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return out
}

func encodePair(key *ecdsa.PrivateKey, ders ...[]byte) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), encodeCerts(ders...)...), nil
}

// parsePair reads a key and the first certificate behind it, and checks that they belong together.
func parsePair(raw []byte) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	var cert *x509.Certificate
	var key *ecdsa.PrivateKey
	for block, rest := pem.Decode(raw); block != nil; block, rest = pem.Decode(rest) {
		switch {
		case block.Type == "PRIVATE KEY" && key == nil:
			k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				return nil, nil, err
			}
			key, _ = k.(*ecdsa.PrivateKey)
		case block.Type == "CERTIFICATE" && cert == nil:
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, nil, err
			}
			cert = c
		}
	}
	if cert == nil || key == nil || !key.PublicKey.Equal(cert.PublicKey) {
		return nil, nil, errors.New("pki: key and certificate are missing or do not belong together")
	}
	return cert, key, nil
}

// createOnce writes path if it does not exist and returns what is there afterwards, so that of two processes that start
// at once both use the same authority.
func createOnce(path string, raw []byte) ([]byte, error) {
	tmp, err := writeTemp(path, raw, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.Remove(tmp) }()
	if err := os.Link(tmp, path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return os.ReadFile(path)
}

// writeFile replaces path atomically.
func writeFile(path string, raw []byte, mode fs.FileMode) error {
	tmp, err := writeTemp(path, raw, mode)
	if err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return nil
}

func writeTemp(path string, raw []byte, mode fs.FileMode) (string, error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return "", err
	}
	_, err = f.Write(raw)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}
