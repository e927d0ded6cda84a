package secret_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pve-smb-gateway/smbgw/internal/secret"
)

func TestSealer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys", "seal.key")
	s, err := secret.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	sealed := s.Seal("hunter2", "identity.user.1")
	if strings.Contains(sealed, "hunter2") || sealed == s.Seal("hunter2", "identity.user.1") {
		t.Errorf("sealed: %s", sealed)
	}
	again, err := secret.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := again.Unseal(sealed, "identity.user.1"); err != nil || got != "hunter2" {
		t.Errorf("after a restart: %q, %v", got, err)
	}
	other, err := secret.Open(filepath.Join(t.TempDir(), "seal.key"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Unseal(sealed, "identity.user.1"); err == nil {
		t.Error("another key opens it")
	}
	if _, err := s.Unseal(sealed, "identity.user.2"); err == nil {
		t.Error("a sealed value could be moved to another row")
	}
	for _, bad := range []string{"", "s1:", "s1:AAAA", sealed[:len(sealed)-1], sealed[3:], strings.Replace(sealed, "s1:", "s2:", 1)} {
		if _, err := s.Unseal(bad, "identity.user.1"); err == nil {
			t.Errorf("%q opens", bad)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v, %v", info.Mode(), err)
	}
	if err := os.WriteFile(path, []byte("cut"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := secret.Open(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a key that was cut short: %v", err)
	}
}

func TestStringNeverPrintsItself(t *testing.T) {
	s := secret.NewString("hunter2")
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "s", s, "in", struct{ S secret.String }{s})
	js, err := json.Marshal(map[string]any{"s": s})
	if err != nil {
		t.Fatal(err)
	}
	all := fmt.Sprintf("%v %+v %#v %s %q", s, s, s, s, s) + fmt.Sprintf("%v %+v", struct{ S secret.String }{s}, []secret.String{s}) + log.String() + string(js)
	if strings.Contains(all, "hunter2") {
		t.Error(all)
	}
	if s.Reveal() != "hunter2" {
		t.Error("Reveal")
	}
}
