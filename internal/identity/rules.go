package identity

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/pve-smb-gateway/smbgw/internal/problem"
)

// Kinds of this room's objects; also the prefixes of their codes and events.
const (
	kindUser  = "user"
	kindGroup = "group"
)

// Codes of this room, each with the prefix "user." or "group.".
const (
	codeNameInvalid   = ".name_invalid"
	codeNameReserved  = ".name_reserved"
	codeNameTaken     = ".name_taken"
	codeNameImmutable = ".name_immutable"
	codeInUse         = ".in_use"
	codeIDsExhausted  = ".ids_exhausted"

	codePasswordWeak    = "user.password_weak"
	codePasswordInvalid = "user.password_invalid"
	codeFullNameInvalid = "user.full_name_invalid"
	codeGroupUnknown    = "user.group_unknown"
	codeUserNotFound    = "user.not_found"
	codeGroupNotFound   = "group.not_found"
	codeMemberUnknown   = "group.member_unknown"
)

const (
	maxNameBytes = 32  // useradd(8), and what NSS and Samba agree on
	maxFullName  = 128 // characters
	minPassword  = 8   // characters
	maxPassword  = 127 // characters; Windows cannot send more
)

var names = regexp.MustCompile(`^[a-z_][a-z0-9_.-]{0,31}$`)

// reserved lists names that mean something else to Debian, Samba or this product. On a node the system's own entry
// comes first, so an account of the same name would not work, or would be somebody else. Debian's group "staff" is
// left out on purpose: it is empty, people use that name, and the agent reports a clash.
var reserved = set(
	// Debian's system accounts and groups.
	"root daemon bin sys sync games man lp mail news uucp proxy www-data backup list irc gnats nobody nogroup _apt "+
		"messagebus sshd postgres avahi adm tty disk kmem dialout fax voice cdrom floppy tape sudo wheel audio dip "+
		"operator src shadow utmp video sasl plugdev netdev kvm render sgx crontab input users ssl-cert "+
		"lxd docker ceph ctdb sambashare winbindd_priv",
	// Samba takes these for well-known SIDs, whatever passdb holds, or for sections of smb.conf.
	"administrator administrators guest guests everyone world anonymous system network service batch dialup "+
		"interactive self restricted remote local nt builtin creator owner krbtgt global homes printers",
)

// reservedPrefixes start names that belong to systemd or to this product.
var reservedPrefixes = []string{"systemd-", "smbgw"}

func set(lists ...string) map[string]bool {
	m := map[string]bool{}
	for _, l := range lists {
		for name := range strings.FieldsSeq(l) {
			m[name] = true
		}
	}
	return m
}

// checkName returns what is wrong with a new name, or nil.
func checkName(kind, name string) *problem.Field {
	bad := func(code, detail string) *problem.Field {
		return &problem.Field{Pointer: "/name", Code: kind + code, Detail: detail}
	}
	switch {
	case name == "":
		return bad(codeNameInvalid, "The name is missing. Give a name of lower-case letters, such as \"anna\".")
	case len(name) > maxNameBytes:
		return bad(codeNameInvalid, fmt.Sprintf("The name is longer than %d characters, which Linux does not allow. Choose a shorter one.", maxNameBytes))
	case strings.ToLower(name) != name:
		return bad(codeNameInvalid, fmt.Sprintf("The name has upper-case letters. Use %q: clients may still log in as %q.", strings.ToLower(name), name))
	case !names.MatchString(name):
		return bad(codeNameInvalid, "The name must start with a letter a-z or _ and go on with a-z, 0-9, _, . or -. "+
			"Leave out spaces, accents and other signs; the full name may have them.")
	}
	clash := reserved[name]
	for _, p := range reservedPrefixes {
		clash = clash || strings.HasPrefix(name, p)
	}
	if clash {
		return bad(codeNameReserved, fmt.Sprintf("%q is a name of the system or of Samba itself. Choose another one, such as %q.", name, "my-"+name))
	}
	return nil
}

// checkPassword returns what is wrong with a password, or nil. The password itself is in no message.
func checkPassword(password string) *problem.Field {
	bad := func(code, detail string) *problem.Field {
		return &problem.Field{Pointer: "/password", Code: code, Detail: detail}
	}
	n := utf8.RuneCountInString(password)
	switch {
	case n < minPassword:
		return bad(codePasswordWeak, fmt.Sprintf("The password has fewer than %d characters. Whoever gets hold of one SMB log-in can try "+
			"billions of short passwords a second against it: use at least %d, better a few words.", minPassword, minPassword))
	case n > maxPassword:
		return bad(codePasswordInvalid, fmt.Sprintf("The password is longer than %d characters, which Windows cannot type in. Choose a shorter one.", maxPassword))
	case !utf8.ValidString(password) || strings.ContainsFunc(password, unicode.IsControl):
		return bad(codePasswordInvalid, "The password has control characters (a tab, a line break), which log-in windows cannot take. Leave them out.")
	}
	return nil
}

// checkFullName returns what is wrong with a full name, or nil. It ends up as a field of passwd(5).
func checkFullName(name string) *problem.Field {
	bad := func(detail string) *problem.Field {
		return &problem.Field{Pointer: "/fullName", Code: codeFullNameInvalid, Detail: detail}
	}
	switch {
	case utf8.RuneCountInString(name) > maxFullName:
		return bad(fmt.Sprintf("The full name is longer than %d characters. Choose a shorter one.", maxFullName))
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) || strings.Contains(name, ":"):
		return bad("The full name has a colon or a control character, which would break the system's list of users. Leave it out.")
	}
	return nil
}

func immutable(kind, name string) error {
	return problem.Invalid(problem.Field{Pointer: "/name", Code: kind + codeNameImmutable,
		Detail: fmt.Sprintf("A %s cannot be renamed, because shares and files refer to the name. Keep %q, or create a new %s.", kind, name, kind)})
}

func taken(kind, name string) error {
	return problem.Conflict("/name", kind+codeNameTaken,
		fmt.Sprintf("There is a user or group %q already; users and groups share their names. Choose another name.", name))
}

func exhausted(kind string) error {
	return problem.New(http.StatusConflict, kind+codeIDsExhausted,
		fmt.Sprintf("All Unix ids that are reserved for each %s have been used. Ids of deleted ones are kept, because files may still "+
			"belong to them: create one with an old name again.", kind))
}
