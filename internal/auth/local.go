package auth

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/pve-smb-gateway/smbgw/internal/object"
)

// localName is the name of the token of the command line; the machine's name is added.
const localName = "local-cli"

// LocalToken makes sure that the file at path holds an administrator's token for the command line on this machine, so
// that whoever may read the file (mode 0600, in a directory of mode 0700) needs no password. A good one is kept; one
// that is unknown, or that others could have read, is replaced and stops working. It is refused from other machines.
func (s *Service) LocalToken(ctx context.Context, path string) error {
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	key := nameKey(localName + "@" + host)
	if secret, ok := readPrivate(path); ok {
		r, err := s.store.token(ctx, "hash", fingerprint(secret))
		if err != nil {
			return err
		}
		if r != nil && r.AccountUID == "" && r.NameKey == key {
			return nil
		}
	}
	secret := tokenPrefix + newSecret()
	err = s.db.Tx(ctx, func(ctx context.Context) error {
		var old []tokenRow
		if err := s.store.tokens(ctx, &old).Where("t.account_uid = '' AND t.name_key = ?", key).Scan(ctx); err != nil {
			return err
		}
		for i := range old {
			if err := s.revoke(ctx, &old[i]); err != nil {
				return err
			}
		}
		r := &tokenRow{
			UID: object.NewUID(), Hash: fingerprint(secret), Name: localName + "@" + host, NameKey: key,
			Privileges: Administrator.Privileges(), CreatedAt: s.clock.Now(),
		}
		if err := s.store.insert(ctx, r); err != nil {
			return err
		}
		return s.recordToken(ctx, "token.created", nil, r)
	})
	if err != nil {
		return err
	}
	// Should this fail, the next start finds no good file and makes another token.
	return writePrivate(path, secret)
}

// readPrivate returns the token in a file that nobody else could have read or written.
func readPrivate(path string) (string, bool) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", false
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 || info.Size() > 200 {
		return "", false
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || int(st.Uid) != os.Geteuid() {
		return "", false
	}
	raw := make([]byte, info.Size())
	if n, err := f.Read(raw); err != nil || n != len(raw) {
		return "", false
	}
	secret := strings.TrimSpace(string(raw))
	return secret, tokenForm.MatchString(secret)
}

// writePrivate replaces the file as a whole, mode 0600.
func writePrivate(path, secret string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".token-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.WriteString(secret + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		if gone := os.Remove(f.Name()); !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
	}
	return err
}
