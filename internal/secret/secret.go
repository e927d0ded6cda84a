// Package secret keeps secrets out of files and logs.
//
// Owns: [Sealer], which seals values at rest, and [String], which never prints itself.
// Does not own: passwords of people (argon2id, in the auth room).
//
// Start reading at [Sealer].
package secret

import (
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"
)

// String is a secret text. It prints, logs and marshals as "[secret]"; Reveal is the only way to its value.
type String struct{ v string }

// NewString wraps v.
func NewString(v string) String { return String{v} }

// Reveal returns the value.
func (s String) Reveal() string { return s.v }

func (String) String() string { return "[secret]" }

// GoString keeps %#v from printing the value.
func (String) GoString() string { return "[secret]" }

// LogValue keeps slog from printing the value.
func (String) LogValue() slog.Value { return slog.StringValue("[secret]") }

// MarshalText keeps encoders from printing the value.
func (String) MarshalText() ([]byte, error) { return []byte("[secret]"), nil }

// Sealer seals values with XChaCha20-Poly1305 under one key. It is safe for concurrent use.
type Sealer struct{ aead cipher.AEAD }

const prefix = "s1:"

// Open reads the key at path, or makes a new one (mode 0600, directory 0700).
func Open(path string) (*Sealer, error) {
	key, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		key = make([]byte, chacha20poly1305.KeySize)
		_, _ = rand.Read(key) // never fails (crypto/rand)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return nil, err
		}
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return nil, err
		}
		if _, err := f.Write(key); err != nil {
			return nil, errors.Join(err, f.Close(), os.Remove(path))
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, fmt.Errorf("%s is not a key of %d bytes: restore it from a backup", path, chacha20poly1305.KeySize)
	}
	return &Sealer{aead}, nil
}

// Seal encrypts plain. purpose binds the result to its place, so that a sealed value cannot be moved to another row.
func (s *Sealer) Seal(plain, purpose string) string {
	nonce := make([]byte, s.aead.NonceSize(), s.aead.NonceSize()+len(plain)+s.aead.Overhead())
	_, _ = rand.Read(nonce)
	return prefix + base64.RawStdEncoding.EncodeToString(s.aead.Seal(nonce, nonce, []byte(plain), []byte(purpose)))
}

// Unseal returns what Seal was given. It fails when the key, the purpose or a byte differs.
func (s *Sealer) Unseal(sealed, purpose string) (string, error) {
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimPrefix(sealed, prefix))
	if err != nil || !strings.HasPrefix(sealed, prefix) || len(raw) < s.aead.NonceSize() {
		return "", errors.New("not a sealed value")
	}
	n := s.aead.NonceSize()
	plain, err := s.aead.Open(nil, raw[:n], raw[n:], []byte(purpose))
	if err != nil {
		return "", errors.New("a sealed value does not open: wrong key, or it was changed")
	}
	return string(plain), nil
}
