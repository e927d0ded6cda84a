package auth

import (
	"regexp"
	"strings"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/object"
	"github.com/pve-smb-gateway/smbgw/internal/problem"
	"golang.org/x/text/unicode/norm"
)

// Codes of this room's problems.
const (
	CodeLoginFailed       = "auth.login_failed"
	CodeSetupDone         = "auth.setup_done"
	CodeSetupCode         = "auth.setup_code_wrong"
	CodeCSRF              = "auth.csrf"
	CodeSessionNeeded     = "auth.session_needed"
	CodeLastAdministrator = "auth.last_administrator"
	CodeNameTaken         = "account.name_taken"
	CodeNameInvalid       = "account.name_invalid"
	CodePasswordWeak      = "auth.password_weak"
	CodePasswordWrong     = "auth.password_wrong"
	CodePrivilegeUnknown  = "token.privilege_unknown"
	CodePrivilegeNotHeld  = "token.privilege_not_held"
	CodeTokenNameTaken    = "token.name_taken"
	CodeTokenExpiry       = "token.expiry_past"
	CodeTokenOwner        = "token.owner_needed"
)

// AccountSpec is what clients write of an account.
type AccountSpec struct {
	Name     string `json:"name" minLength:"1" maxLength:"64" example:"alice" doc:"Upper and lower case are the same"`
	Role     Role   `json:"role" enum:"administrator,auditor"`
	Disabled bool   `json:"disabled,omitempty" doc:"Cannot log in; its tokens do not work"`
	Password string `json:"password,omitempty" writeOnly:"true" maxLength:"1024" doc:"Needed to create; on a change, absent means unchanged. It is never sent back"`
}

// Account is a person (or a script's owner) who may use the console and the API.
type Account struct {
	object.Meta
	AccountSpec
	LastLoginAt *time.Time `json:"lastLoginAt,omitempty"`
}

var names = regexp.MustCompile(`^[\p{L}\p{N}][\p{L}\p{N}\p{M}._@-]{0,63}$`)

func normalName(s string) string { return norm.NFC.String(strings.TrimSpace(s)) }

// nameKey is the same for names that people take for the same.
func nameKey(s string) string { return strings.ToLower(norm.NFKC.String(normalName(s))) }

func checkName(name string) []problem.Field {
	if names.MatchString(name) {
		return nil
	}
	return []problem.Field{{Pointer: "/name", Code: CodeNameInvalid, Detail: "The name must start with a letter or digit and have letters, digits and . _ @ - only, 64 at most."}}
}

// Session is one login of an account.
type Session struct {
	object.Meta           // createdAt is the login; a session never changes
	Current     bool      `json:"current" doc:"The session of this request"`
	RemoteAddr  string    `json:"remoteAddr"`
	UserAgent   string    `json:"userAgent"`
	LastSeenAt  time.Time `json:"lastSeenAt" doc:"To a few minutes"`
	ExpiresAt   time.Time `json:"expiresAt" doc:"Ends then at the latest; earlier after 12 hours without a request"`
}

// TokenSpec is what clients write of an API token.
type TokenSpec struct {
	Name       string     `json:"name" minLength:"1" maxLength:"64" example:"backup-script"`
	Privileges []string   `json:"privileges" minItems:"1" maxItems:"50" uniqueItems:"true" nullable:"false" example:"[\"Share.Audit\"]" doc:"At most those of the account that makes it"`
	ExpiresAt  *time.Time `json:"expiresAt,omitempty" doc:"Absent: until it is revoked"`
}

// Token lets a program act for an account, with some of its privileges.
type Token struct {
	object.Meta
	TokenSpec
	Owner        string     `json:"owner" doc:"Name of the account; empty for the command line on the server's own machine"`
	OwnerUID     string     `json:"ownerUID,omitempty"`
	LastUsedAt   *time.Time `json:"lastUsedAt,omitempty" doc:"To a minute"`
	LastUsedAddr string     `json:"lastUsedAddr,omitempty"`
	Secret       string     `json:"secret,omitempty" readOnly:"true" doc:"What to send as Authorization: Bearer. It is in the answer to the POST only"`
}

// Me is whoever a request comes from.
type Me struct {
	Kind       string   `json:"kind" enum:"account,token"`
	UID        string   `json:"uid" doc:"Of the account, or of the token"`
	Name       string   `json:"name"`
	Role       Role     `json:"role,omitempty" doc:"Absent for tokens"`
	Privileges []string `json:"privileges" nullable:"false"`
}
