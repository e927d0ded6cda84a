package link

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"

	agentv1 "github.com/pve-smb-gateway/smbgw/api/agent/v1"
	"github.com/pve-smb-gateway/smbgw/internal/pki"
	"github.com/pve-smb-gateway/smbgw/internal/secret"
)

// The files of an agent's identity directory; all are 0600 and replaced atomically.
const (
	identityFile = "identity.json"
	pendingFile  = "enrol.key" // key of an enrolment whose answer has not come yet
	epochFile    = "link-epoch"
)

// ErrNotEnrolled is returned when the directory holds no identity.
var ErrNotEnrolled = errors.New("this machine is not enrolled: create an enrolment token on the server (`smbgw node enrol`) and run `smbgw agent enrol` here")

// Identity is what makes a machine a node: its key and certificate, and the CA it trusts.
type Identity struct {
	Server   string // base URL, https
	NodeUID  string
	NodeName string
	CA       *x509.Certificate
	Cert     *x509.Certificate
	key      *ecdsa.PrivateKey
}

// identityJSON is the form of [Identity] on disk.
type identityJSON struct {
	Format      int    `json:"format"`
	Server      string `json:"server"`
	NodeUID     string `json:"nodeUID"`
	NodeName    string `json:"nodeName"`
	CA          string `json:"ca"`          // PEM
	Certificate string `json:"certificate"` // PEM
	Key         string `json:"key"`         // PEM, PKCS #8
}

// LoadIdentity reads the identity in dir, or returns [ErrNotEnrolled].
func LoadIdentity(dir string) (*Identity, error) {
	path := filepath.Join(dir, identityFile)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotEnrolled
	}
	if err != nil {
		return nil, err
	}
	var j identityJSON
	if err := json.Unmarshal(raw, &j); err != nil || j.Format != 1 {
		return nil, fmt.Errorf("%s is damaged or of a newer version: enrol this machine again", path)
	}
	id := &Identity{Server: j.Server, NodeUID: j.NodeUID, NodeName: j.NodeName}
	var errs [3]error
	id.CA, errs[0] = certFromPEM(j.CA)
	id.Cert, errs[1] = certFromPEM(j.Certificate)
	id.key, errs[2] = keyFromPEM(j.Key)
	if err := errors.Join(errs[:]...); err != nil || !id.key.PublicKey.Equal(id.Cert.PublicKey) {
		return nil, fmt.Errorf("%s is damaged: enrol this machine again", path)
	}
	return id, nil
}

func (id *Identity) save(dir string) error {
	key, err := keyToPEM(id.key)
	if err != nil {
		return err
	}
	raw, err := json.MarshalIndent(identityJSON{
		Format: 1, Server: id.Server, NodeUID: id.NodeUID, NodeName: id.NodeName,
		CA: certToPEM(id.CA), Certificate: certToPEM(id.Cert), Key: string(key),
	}, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, identityFile), append(raw, '\n'))
}

func (id *Identity) tlsConfig(now func() time.Time) *tls.Config {
	c := pki.MutualClient(id.CA, tls.Certificate{Certificate: [][]byte{id.Cert.Raw}, PrivateKey: id.key, Leaf: id.Cert})
	c.Time = now
	return c
}

// EnrolRequest says where and how to enrol.
type EnrolRequest struct {
	Dir         string // the identity directory; made 0700 if missing
	Server      string // "https://host:port"
	Fingerprint string // of the server's CA: "SHA256:…"
	Token       secret.String
	Facts       Facts
}

// Enrol makes this machine a node and keeps its new identity in r.Dir, replacing one that is there. It may be called
// again with the same token when it failed on the way: the key is kept until the answer is stored.
func Enrol(ctx context.Context, r EnrolRequest) (*Identity, error) {
	server, err := checkURL(r.Server)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(r.Fingerprint, "SHA256:") {
		return nil, errors.New("the fingerprint has the form SHA256:…, as the server prints it at its start")
	}
	if err := os.MkdirAll(r.Dir, 0o700); err != nil {
		return nil, err
	}
	key, err := pendingKey(filepath.Join(r.Dir, pendingFile))
	if err != nil {
		return nil, err
	}
	csr, err := pki.NewRequest(key)
	if err != nil {
		return nil, err
	}
	var ca *x509.Certificate
	transport := &http.Transport{
		TLSClientConfig:   pki.PinnedClient(r.Fingerprint, func(c *x509.Certificate) { ca = c }),
		ForceAttemptHTTP2: true,
	}
	defer transport.CloseIdleConnections()
	client := agentv1.NewEnrolmentServiceClient(&http.Client{Transport: transport}, server)
	answer, err := client.Enrol(ctx, connect.NewRequest(&agentv1.EnrolRequest{
		Token: r.Token.Reveal(), Csr: csr, Facts: factsToWire(r.Facts),
	}))
	if errors.Is(err, pki.ErrFingerprint) {
		return nil, pki.ErrFingerprint
	}
	if err != nil {
		return nil, fromWire(err)
	}
	cert, err := x509.ParseCertificate(answer.Msg.GetCertificate())
	if err != nil || !key.PublicKey.Equal(cert.PublicKey) || cert.CheckSignatureFrom(ca) != nil {
		return nil, errors.New("the server answered with a certificate that is not ours: is it really a smbgw server?")
	}
	id := &Identity{Server: server, NodeUID: answer.Msg.GetNodeUid(), NodeName: answer.Msg.GetNodeName(), CA: ca, Cert: cert, key: key}
	// The epoch first: should we stop in between, the old identity with a wrong epoch does less harm than the reverse.
	if err := writeEpoch(r.Dir, answer.Msg.GetLinkEpoch()); err != nil {
		return nil, err
	}
	if err := id.save(r.Dir); err != nil {
		return nil, err
	}
	if err := os.Remove(filepath.Join(r.Dir, pendingFile)); err != nil {
		return nil, err
	}
	return id, nil
}

func checkURL(raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return "", fmt.Errorf("%q is not a server's address: expected https://host:port", raw)
	}
	return "https://" + u.Host, nil
}

// pendingKey returns the key kept at path, or a new one that is kept there before it is used.
func pendingKey(path string) (*ecdsa.PrivateKey, error) {
	if raw, err := os.ReadFile(path); err == nil {
		if key, err := keyFromPEM(string(raw)); err == nil {
			return key, nil
		}
	}
	key, err := pki.NewKey()
	if err != nil {
		return nil, err
	}
	raw, err := keyToPEM(key)
	if err != nil {
		return nil, err
	}
	return key, writeFile(path, raw)
}

// readEpoch returns the stored link epoch; 0, which is older than any, if the file is missing or damaged.
func readEpoch(dir string) uint64 {
	raw, err := os.ReadFile(filepath.Join(dir, epochFile))
	if err != nil {
		return 0
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(raw)), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func writeEpoch(dir string, n uint64) error {
	return writeFile(filepath.Join(dir, epochFile), []byte(strconv.FormatUint(n, 10)+"\n"))
}

// writeFile replaces path atomically with a 0600 file; after a power cut it holds the old or the new content.
func writeFile(path string, raw []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(raw)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func certToPEM(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

func certFromPEM(s string) (*x509.Certificate, error) {
	b, _ := pem.Decode([]byte(s))
	if b == nil || b.Type != "CERTIFICATE" {
		return nil, errors.New("no certificate")
	}
	return x509.ParseCertificate(b.Bytes)
}

func keyToPEM(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func keyFromPEM(s string) (*ecdsa.PrivateKey, error) {
	b, _ := pem.Decode([]byte(s))
	if b == nil {
		return nil, errors.New("no key")
	}
	k, err := x509.ParsePKCS8PrivateKey(b.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := k.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("not an ECDSA key")
	}
	return key, nil
}
