package samba

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Section is a section of smb.conf.
type Section struct {
	Name string `json:"name"`
	// ID is the marker smbgw:id, the UID of the share; empty means that the section is not ours.
	ID string `json:"id,omitempty"`
	// Generation is the marker smbgw:generation.
	Generation int64 `json:"generation,omitempty"`
	// Closing is the marker smbgw:closing: the section is in force, but clients of an earlier one may still be connected.
	Closing bool `json:"closing,omitempty"`
	// Params are the parameters without the markers, keyed by lower-case name.
	Params map[string]string `json:"params"`
}

// The markers by which a section is known to be ours.
const (
	MarkerID         = "smbgw:id"
	MarkerGeneration = "smbgw:generation"
	MarkerClosing    = "smbgw:closing"
)

// ErrForeign is wrapped by the refusal to write or remove a section that is not ours.
var ErrForeign = errors.New("the section is not smbgw's")

// Equal reports whether two sections say the same.
func (s Section) Equal(o Section) bool {
	return s.Name == o.Name && s.ID == o.ID && s.Generation == o.Generation && s.Closing == o.Closing && maps.Equal(s.Params, o.Params)
}

// FoldName returns the key under which Samba, which ignores case, looks up a section or an account.
func FoldName(name string) string { return strings.ToLower(name) }

// Validate reports text that smb.conf or the registry would read as something else. It is the last line of defence for
// drivers; package reconcile gives people the reasons.
func (s Section) Validate() error {
	if err := ValidateSectionName(s.Name); err != nil {
		return err
	}
	if s.ID == "" {
		return fmt.Errorf("samba: section %q has no marker", s.Name)
	}
	if !PlainText(s.ID) || strings.ContainsAny(s.ID, "\\\"% ") {
		return fmt.Errorf("samba: section %q has a marker that is no UID", s.Name)
	}
	for key, value := range s.Params {
		if key == "" || key != strings.ToLower(strings.TrimSpace(key)) || strings.ContainsAny(key, "=[]\"\\%;#") || !PlainText(key) ||
			strings.HasPrefix(key, "smbgw:") {
			return fmt.Errorf("samba: section %q: %q cannot be a parameter", s.Name, key)
		}
		if !PlainText(value) || strings.HasSuffix(value, `\`) || value != strings.TrimSpace(value) {
			return fmt.Errorf("samba: section %q: the value of %q has control characters, outer spaces, or ends in a backslash", s.Name, key)
		}
	}
	return nil
}

// ValidateSectionName reports names that cannot be a section of ours.
func ValidateSectionName(name string) error {
	if name == "" || !PlainText(name) || strings.TrimSpace(name) != name || strings.ContainsAny(name, `"/\[]:|<>+=;,*?%`) ||
		strings.HasPrefix(name, "-") || FoldName(name) == "global" {
		return fmt.Errorf("samba: %q cannot be a section of ours", name)
	}
	return nil
}

// maxText is the longest text in bytes that PlainText accepts.
const maxText = 64 << 10

// PlainText reports whether s is valid UTF-8 of reasonable length without anything that could end a line.
func PlainText(s string) bool {
	return len(s) <= maxText && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) || r == '\u2028' || r == '\u2029'
	})
}
