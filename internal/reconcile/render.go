package reconcile

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/pve-smb-gateway/smbgw/internal/desired"
	"github.com/pve-smb-gateway/smbgw/internal/samba"
)

// Node is what rendering has to know of the node.
type Node struct {
	// ShareRoots are the directories below which shares may lie; shares without a path go to the first.
	ShareRoots []string
	// ForceUser is the Unix user as whom shares act; empty means [desired.OwnerName].
	ForceUser string
	// StrangerHash is the NT hash of the probe's stranger, upper-case hex; empty means that it has no password.
	StrangerHash string
}

// maxName is the longest name of a share in bytes; Windows stops there.
const maxName = 80

// reservedNames are sections with a meaning of their own, and pipes.
var reservedNames = []string{"global", "homes", "printers", "print$", "ipc$", "admin$", "c$", ".", ".."}

// refusedParams cannot be set as a further parameter: we set them ourselves, they pull in other configuration, act as
// another user, open the share to guests, or run a program.
var refusedParams = func() map[string]bool {
	m := map[string]bool{}
	for p := range strings.SplitSeq("path,directory,comment,read only,writeable,writable,write ok,browseable,browsable,"+
		"valid users,invalid users,read list,write list,available,force user,user,username,users,force group,group,admin users,"+
		"guest ok,public,guest only,only guest,include,copy,config file,config backend,registry shares,wide links,"+
		"preexec,exec,postexec,root preexec,root postexec,preexec close,root preexec close,magic script,magic output,"+
		"dfree command,printable,print ok,print command,lpq command,lprm command,lppause command,lpresume command,"+
		"queuepause command,queueresume command,-valid,root dir,root directory,root,chroot", ",") {
		m[squash(p)] = true
	}
	return m
}()

// squash is how Samba compares names of parameters: without case and spaces.
func squash(p string) string { return strings.ReplaceAll(strings.ToLower(p), " ", "") }

var paramName = regexp.MustCompile(`^[a-z0-9][a-z0-9_:. -]{0,126}[a-z0-9_]$`)

// Render returns the section that s means on this node. The problem tells why it cannot be written at all; no text in s
// can end a line, open a section or start a macro.
func Render(s desired.Share, n Node) (samba.Section, *samba.Problem) {
	if p := checkName(s.Name); p != nil {
		return samba.Section{}, p
	}
	dir := s.Path
	if dir == "" {
		if len(n.ShareRoots) == 0 {
			return samba.Section{}, problem("share.path_not_allowed", "This node has no share root. Configure one, or give the share a path.")
		}
		dir = path.Join(n.ShareRoots[0], s.Name)
	}
	switch {
	case !path.IsAbs(dir) || path.Clean(dir) != dir:
		return samba.Section{}, problem("share.path_invalid", "The path %q is not absolute and clean. Write it from / on, without . or .. in it.", dir)
	case !samba.PlainText(dir) || strings.ContainsAny(dir, "%\"\\") || strings.TrimSpace(dir) != dir:
		return samba.Section{}, problem("share.path_invalid", "The path %q has control characters, %%, quotes, backslashes or a space at its end, which smb.conf would not take literally. Rename the directory.", dir)
	case !samba.PlainText(s.Comment) || strings.ContainsAny(s.Comment, "%"):
		return samba.Section{}, problem("share.comment_invalid", "The comment has control characters or a %% sign, which Samba would replace. Leave them out.")
	}
	params := map[string]string{
		"path":           dir,
		"read only":      yesNo(s.ReadOnly),
		"browseable":     yesNo(s.Browseable),
		"force user":     n.owner(),
		"create mask":    "0660",
		"directory mask": "0770",
	}
	if c := strings.TrimSpace(s.Comment); c != "" {
		params["comment"] = c
	}
	for key, names := range map[string][]string{"valid users": s.ValidUsers, "read list": s.ReadList, "write list": s.WriteList} {
		list, p := renderNames(names)
		if p != nil {
			return samba.Section{}, p
		}
		if list != "" {
			params[key] = list
		}
	}
	if len(s.ValidUsers) == 0 {
		// Everyone may, but the stranger is no one. Elsewhere valid users alone has to keep it out: that is what the
		// probe proves with it.
		params["invalid users"] = desired.StrangerName
	}
	for key, value := range s.Parameters {
		key = strings.ToLower(strings.Join(strings.Fields(key), " "))
		value = strings.TrimSpace(value)
		switch {
		case !paramName.MatchString(key) || refusedParams[squash(key)] || strings.HasPrefix(squash(key), "smbgw:"):
			return samba.Section{}, problem("share.parameter_refused", "The parameter %q cannot be set here. Remove it.", key)
		case !samba.PlainText(value) || strings.HasSuffix(value, `\`):
			return samba.Section{}, problem("share.parameter_refused", "The value of %q has control characters, ends in a backslash or is too long. Correct it.", key)
		}
		params[key] = value
	}
	return samba.Section{Name: s.Name, ID: s.UID, Generation: s.Generation, Params: params}, nil
}

func (n Node) owner() string {
	if n.ForceUser == "" {
		return desired.OwnerName
	}
	return n.ForceUser
}

func checkName(name string) *samba.Problem {
	switch {
	case name == "" || len(name) > maxName || !samba.PlainText(name) || strings.TrimSpace(name) != name || name[0] == '-':
		return problem("share.name_invalid", "The name %q is empty, longer than %d bytes, starts with a dash, or has control characters or spaces at an end. Choose another.", name, maxName)
	case strings.ContainsAny(name, `"/\[]:|<>+=;,*?%`):
		return problem("share.name_invalid", `The name %q has one of " / \ [ ] : | < > + = ; , * ? %% in it. Choose another.`, name)
	case slices.Contains(reservedNames, samba.FoldName(name)):
		return problem("share.name_reserved", "Samba reserves the name %q. Choose another.", name)
	}
	return nil
}

// renderNames joins names as smb.conf(5) lists are written.
func renderNames(names []string) (string, *samba.Problem) {
	out := make([]string, 0, len(names))
	for _, n := range names {
		bare := strings.TrimPrefix(n, "@")
		if bare == "" || !samba.PlainText(bare) || strings.ContainsAny(bare, `"%\,;`) || strings.ContainsAny(bare[:1], "@+&") || strings.TrimSpace(bare) != bare {
			return "", problem("share.user_invalid", "The name %q cannot be written in a list of users. Rename the user or group.", n)
		}
		if strings.Contains(n, " ") {
			n = strings.TrimSuffix(n, bare) + `"` + bare + `"`
		}
		out = append(out, n)
	}
	slices.Sort(out)
	return strings.Join(slices.Compact(out), " "), nil
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func problem(reason, format string, args ...any) *samba.Problem {
	return &samba.Problem{Reason: reason, Message: fmt.Sprintf(format, args...)}
}
