package share

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/pve-smb-gateway/smbgw/internal/problem"
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Codes of problems with shares.
const (
	CodeNameInvalid      = "share.name_invalid"
	CodeNameReserved     = "share.name_reserved"
	CodeNameTaken        = "share.name_taken"
	CodePathInvalid      = "share.path_invalid"
	CodePathOutside      = "share.path_outside_roots"
	CodePathTaken        = "share.path_taken"
	CodeUnknownPrincipal = "share.unknown_principal"
	CodePrincipalInvalid = "share.principal_invalid"
	CodeParameter        = "share.parameter_not_allowed"
	CodeTextInvalid      = "share.text_invalid"
	CodeNodeFixed        = "share.node_fixed"
	CodeNodeNeeded       = "share.node_needed"
	CodeDeleting         = "share.deleting"
)

// ReasonRemovalHeld is the reason of the condition Ready of a deleted share whose removal its node holds.
const ReasonRemovalHeld = "share.removal_held"

// maxName is the longest share name in bytes that Windows clients accept.
const maxName = 80

var reserved = []string{"global", "homes", "printers", "print$", "ipc$", "admin$"}

var driveShare = regexp.MustCompile(`(?i)^[a-z]\$$`)

// normalize brings the spec into the one form that is stored and compared.
func (s *Spec) normalize() {
	s.Name = norm.NFC.String(s.Name)
	if s.Path != "" && path.IsAbs(s.Path) && !slices.Contains(strings.Split(s.Path, "/"), "..") {
		s.Path = path.Clean(s.Path)
	}
	yes := true
	s.CreatePath, s.Browseable = cmp.Or(s.CreatePath, &yes), cmp.Or(s.Browseable, &yes)
	for _, list := range []*[]string{&s.ValidUsers, &s.ReadList, &s.WriteList} {
		if *list == nil {
			*list = []string{}
		}
	}
	if s.Parameters == nil {
		s.Parameters = map[string]string{}
	}
}

// nameKey is what makes two names the same to an SMB client.
func nameKey(name string) string { return cases.Fold().String(norm.NFC.String(name)) }

// check returns what is wrong with the spec by itself, without looking at other objects.
func (s *Spec) check() []problem.Field {
	var bad []problem.Field
	add := func(pointer, code, format string, args ...any) {
		bad = append(bad, problem.Field{Pointer: pointer, Code: code, Detail: fmt.Sprintf(format, args...)})
	}
	if code, detail := checkName(s.Name); code != "" {
		add("/name", code, "%s", detail)
	}
	if s.Path != "" {
		if detail := checkPath(s.Path); detail != "" {
			add("/path", CodePathInvalid, "%s", detail)
		}
	}
	if detail := checkText(s.Comment); detail != "" {
		add("/comment", CodeTextInvalid, "The comment %s", detail)
	}
	for field, list := range map[string][]string{"validUsers": s.ValidUsers, "readList": s.ReadList, "writeList": s.WriteList} {
		for i, p := range list {
			if !principal.MatchString(p) {
				add(fmt.Sprintf("/%s/%d", field, i), CodePrincipalInvalid,
					"%q names no user or group. Write a user as alice and a group as @staff.", p)
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(s.Parameters)) {
		pointer := "/parameters/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
		if !allowedParameter(key) {
			add(pointer, CodeParameter, "The parameter %q may not be set here. Possible: %s, and options of the modules %s.",
				key, strings.Join(parameters, ", "), strings.Join(modules, ", "))
		} else if detail := checkControl(s.Parameters[key]); detail != "" {
			add(pointer, CodeTextInvalid, "The value %s", detail)
		} else if len(s.Parameters[key]) > 1024 {
			add(pointer, CodeTextInvalid, "The value is longer than 1024 bytes.")
		}
	}
	return bad
}

var principal = regexp.MustCompile(`^@?[a-z_][a-z0-9_.-]{0,31}$`)

func checkName(name string) (code, detail string) {
	switch {
	case name == "":
		return CodeNameInvalid, "A share needs a name."
	case len(name) > maxName:
		return CodeNameInvalid, fmt.Sprintf("The name is %d bytes long; Windows clients take at most %d.", len(name), maxName)
	case slices.Contains(reserved, strings.ToLower(name)), driveShare.MatchString(name):
		return CodeNameReserved, fmt.Sprintf("%q has a meaning of its own in Samba or Windows. Choose another name.", name)
	case strings.Trim(name, " .") != name:
		return CodeNameInvalid, "A name neither begins nor ends with a space or a dot."
	}
	for _, r := range name {
		if !unicode.In(r, unicode.L, unicode.M, unicode.N) && !strings.ContainsRune(" ._-$", r) {
			return CodeNameInvalid, fmt.Sprintf("The name holds %q. Possible are letters, digits, space and . _ - $", r)
		}
	}
	return "", ""
}

func checkPath(p string) string {
	switch {
	case !path.IsAbs(p):
		return "The path must be absolute, such as /srv/smb/projects."
	case slices.Contains(strings.Split(p, "/"), ".."):
		return "The path must not hold \"..\"."
	case strings.Contains(p, "%"):
		return "The path must not hold \"%\": Samba would replace it."
	case len(p) > 1024:
		return "The path is longer than 1024 bytes."
	}
	if detail := checkControl(p); detail != "" {
		return "The path " + detail
	}
	if strings.ContainsAny(p, "\"'`\\;#") {
		return "The path must not hold quotes, backslash, ; or #."
	}
	return ""
}

func checkText(s string) string {
	if strings.Contains(s, "%") {
		return "must not hold \"%\": Samba would replace it."
	}
	if strings.HasSuffix(s, `\`) {
		return "must not end with a backslash: smb.conf would read on in the next line."
	}
	return checkControl(s)
}

func checkControl(s string) string {
	for _, r := range s {
		if unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) || r == unicode.ReplacementChar {
			return fmt.Sprintf("must not hold control characters; it holds %U.", r)
		}
	}
	return ""
}

// parameters may be set by whoever may change shares: none of them runs a program, names a file outside the share or
// reaches beyond the section.
var parameters = []string{
	"access based share enum", "case sensitive", "create mask", "delete veto files", "directory mask", "ea support",
	"force create mode", "force directory mode", "hide dot files", "hide unreadable", "hosts allow", "hosts deny",
	"inherit acls", "inherit permissions", "kernel oplocks", "level2 oplocks", "map archive", "max connections", "oplocks",
	"server smb encrypt", "store dos attributes", "strict sync", "veto files", "vfs objects",
}

// modules are the VFS modules whose options may be set.
var modules = []string{"acl_xattr", "catia", "fruit", "recycle", "shadow", "streams_xattr", "worm"}

func allowedParameter(key string) bool {
	module, option, ok := strings.Cut(key, ":")
	if ok {
		return slices.Contains(modules, module) && option != "" && strings.Trim(option, "abcdefghijklmnopqrstuvwxyz0123456789_ ") == ""
	}
	return slices.Contains(parameters, key)
}

// below reports whether p lies strictly below root.
func below(p, root string) bool { return strings.HasPrefix(p, strings.TrimSuffix(root, "/")+"/") }
