package identity

import (
	"encoding/hex"
	"strings"

	"golang.org/x/crypto/md4" //nolint:staticcheck // NTLM is made of MD4
	"golang.org/x/text/encoding/unicode"
)

// ntHash returns MD4 of the UTF-16LE password in upper-case hex, which is what Samba's passdb keeps.
func ntHash(password string) (string, error) {
	wide, err := unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM).NewEncoder().String(password)
	if err != nil {
		return "", err
	}
	h := md4.New()
	_, _ = h.Write([]byte(wide)) // never fails
	return strings.ToUpper(hex.EncodeToString(h.Sum(nil))), nil
}
