// Package nthash computes the hash by which SMB knows a password.
//
// Owns: [Sum]. Does not own: storing hashes or judging passwords. The hash is as good as the password to whoever holds
// it: keep it sealed at rest, out of logs and out of argv.
//
// Start reading at [Sum].
package nthash

import (
	"encoding/binary"
	"encoding/hex"
	"strings"
	"unicode/utf16"

	//lint:ignore SA1019 the protocol is defined by MD4
	"golang.org/x/crypto/md4"
)

// Sum returns MD4 of the password's UTF-16LE form as 32 upper-case hex digits, as smbpasswd(5) writes it.
func Sum(password string) string {
	h := md4.New()
	for _, u := range utf16.Encode([]rune(password)) {
		var b [2]byte
		binary.LittleEndian.PutUint16(b[:], u)
		h.Write(b[:])
	}
	return strings.ToUpper(hex.EncodeToString(h.Sum(nil)))
}
