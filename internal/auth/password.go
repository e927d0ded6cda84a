package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"unicode/utf8"

	"github.com/pve-smb-gateway/smbgw/internal/problem"
	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"
)

const (
	minPassword = 12   // characters
	maxPassword = 1024 // bytes
)

// checkPassword says what is wrong with a new password, nil if nothing is.
func checkPassword(pointer, name, password string) []problem.Field {
	bad := func(detail string) []problem.Field {
		return []problem.Field{{Pointer: pointer, Code: CodePasswordWeak, Detail: detail}}
	}
	distinct := map[rune]bool{}
	for _, r := range password {
		distinct[r] = true
	}
	switch {
	case !utf8.ValidString(password) || len(password) > maxPassword:
		return bad(fmt.Sprintf("The password must be valid text of at most %d bytes.", maxPassword))
	case utf8.RuneCountInString(password) < minPassword:
		return bad(fmt.Sprintf("The password needs at least %d characters. A few words in a row are fine.", minPassword))
	case len(distinct) < 5:
		return bad("The password repeats too few different characters. Choose another one.")
	case name != "" && strings.Trim(strings.ReplaceAll(strings.ToLower(password), strings.ToLower(name), ""), "0123456789 -_.!") == "":
		return bad("The password is little more than the account's name. Choose another one.")
	}
	return nil
}

// params are the costs of one argon2id hash.
type params struct {
	memory  uint32 // KiB
	time    uint32 // passes
	threads uint8
}

// current costs: OWASP's second choice. About 30 ms, and little enough memory for a small node.
var current = params{memory: 19 * 1024, time: 2, threads: 1}

const (
	saltSize = 16
	keySize  = 32
)

// digest is a parsed hash string: $argon2id$v=19$m=19456,t=2,p=1$SALT$KEY, base64 without padding.
type digest struct {
	params
	salt, key []byte
}

var errDigest = errors.New("auth: not an argon2id hash")

// parseDigest reads a hash string. It takes only what String writes, and only costs that cannot stop the server.
func parseDigest(s string) (digest, error) {
	part := strings.Split(s, "$")
	if len(part) != 6 || part[0] != "" || part[1] != "argon2id" || part[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return digest{}, errDigest
	}
	var d digest
	if _, err := fmt.Sscanf(part[3], "m=%d,t=%d,p=%d", &d.memory, &d.time, &d.threads); err != nil {
		return digest{}, errDigest
	}
	var err1, err2 error
	d.salt, err1 = base64.RawStdEncoding.Strict().DecodeString(part[4])
	d.key, err2 = base64.RawStdEncoding.Strict().DecodeString(part[5])
	if err1 != nil || err2 != nil ||
		d.time < 1 || d.time > 16 || d.threads < 1 || d.threads > 16 || d.memory < 8*uint32(d.threads) || d.memory > 256*1024 ||
		len(d.salt) < 8 || len(d.salt) > 64 || len(d.key) < 16 || len(d.key) > 64 || d.String() != s {
		return digest{}, errDigest
	}
	return d, nil
}

func (d digest) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, d.memory, d.time, d.threads,
		base64.RawStdEncoding.EncodeToString(d.salt), base64.RawStdEncoding.EncodeToString(d.key))
}

// hasher makes and checks password hashes, few at a time: each takes 19 MiB.
type hasher struct {
	params params
	slots  chan struct{}
	derive func(password, salt []byte, p params, size uint32) []byte
	// nobody is what a password is checked against when there is no such account, so that both take as long.
	nobody string
}

func newHasher(p params) *hasher {
	h := &hasher{params: p, slots: make(chan struct{}, max(1, runtime.NumCPU()/2)), derive: func(password, salt []byte, p params, size uint32) []byte {
		return argon2.IDKey(password, salt, p.time, p.memory, p.threads, size)
	}}
	d := digest{params: p, salt: make([]byte, saltSize), key: make([]byte, keySize)}
	_, _ = rand.Read(d.salt) // never fails (crypto/rand)
	_, _ = rand.Read(d.key)
	h.nobody = d.String()
	return h
}

func (h *hasher) run(ctx context.Context, password string, salt []byte, p params, size uint32) ([]byte, error) {
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	// NFC: the same characters typed on another keyboard are the same password.
	return h.derive([]byte(norm.NFC.String(password)), salt, p, size), nil
}

// hash returns the hash string of a new password.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	d := digest{params: h.params, salt: make([]byte, saltSize)}
	_, _ = rand.Read(d.salt)
	var err error
	if d.key, err = h.run(ctx, password, d.salt, d.params, keySize); err != nil {
		return "", err
	}
	return d.String(), nil
}

// verify reports whether password fits hash, and whether the hash should be made anew with today's costs.
func (h *hasher) verify(ctx context.Context, hash, password string) (ok, stale bool, err error) {
	d, err := parseDigest(hash)
	if err != nil {
		return false, false, err
	}
	key, err := h.run(ctx, password, d.salt, d.params, uint32(len(d.key)))
	if err != nil {
		return false, false, err
	}
	return subtle.ConstantTimeCompare(key, d.key) == 1, d.params != h.params || len(d.key) != keySize || len(d.salt) != saltSize, nil
}
