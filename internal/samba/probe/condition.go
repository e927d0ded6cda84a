package probe

import (
	"fmt"
	"strings"

	"github.com/pve-smb-gateway/smbgw/internal/desired"
	"github.com/pve-smb-gateway/smbgw/internal/object"
)

// Conditions returns Ready and Reachable of a share as they follow from a receipt. path is the share's path in effect,
// for the remedy; owner is the Unix user as whom the share acts.
func Conditions(r desired.Receipt, path, owner string) (ready, reachable object.Condition) {
	ready = object.Condition{Type: object.Ready, ObservedGeneration: r.Generation}
	reachable = object.Condition{Type: object.Reachable, Status: object.Unknown, Reason: "probe.not_connected",
		Message: "No client has tried to connect.", ObservedGeneration: r.Generation}
	for _, c := range r.Checks {
		if c.Name != Connect || c.Status == codeNobody {
			continue
		}
		if c.OK {
			reachable.Status, reachable.Reason, reachable.Message = object.True, "probe.connected", "A client has connected as "+c.As+"."
		} else {
			reachable.Status = object.False
			reachable.Reason, reachable.Message = explain(c, path, owner)
		}
	}
	if r.Passed {
		ready.Status, ready.Reason, ready.Message = object.True, "probe.passed", summary(r)
		return ready, reachable
	}
	ready.Status, ready.Reason, ready.Message = object.False, "probe.failed", "The probe has not finished."
	for _, c := range worst(r.Checks) {
		ready.Reason, ready.Message = explain(c, path, owner)
	}
	return ready, reachable
}

// worst returns the one failed check that people have to hear of first: somebody who got in, or else the first.
func worst(checks []desired.Check) []desired.Check {
	var first []desired.Check
	for _, c := range checks {
		if !c.OK && c.Status == codeAdmitted {
			return []desired.Check{c}
		}
		if !c.OK && first == nil {
			first = []desired.Check{c}
		}
	}
	return first
}

// summary says in a sentence what has been proven.
func summary(r desired.Receipt) string {
	var did, refused []string
	as := ""
	for _, c := range r.Checks {
		switch c.Name {
		case Connect:
			as = c.As
			did = append(did, "connected")
		case List:
			did = append(did, "listed")
		case Write:
			did = append(did, "wrote")
		case ReadBack:
			did = append(did, "read back")
		case Delete:
			did = append(did, "deleted")
		case ReadOnlyRefused:
			refused = append(refused, "writing by "+c.As)
		case StrangerRefused:
			refused = append(refused, "a stranger")
		case AnonymousRefused:
			refused = append(refused, "an anonymous client")
		}
	}
	were := "were"
	if len(refused) == 1 {
		were = "was"
	}
	return fmt.Sprintf("A client %s as %s; %s %s refused.", join(did), as, join(refused), were)
}

func join(words []string) string {
	if n := len(words); n > 1 {
		return strings.Join(words[:n-1], ", ") + " and " + words[n-1]
	}
	return strings.Join(words, "")
}

// explain gives the reason and the remedy of a failed check.
func explain(c desired.Check, path, owner string) (reason, message string) {
	say := func(r, format string, args ...any) (string, string) { return r, fmt.Sprintf(format, args...) }
	switch c.Status {
	case codeNobody:
		return say("share.nobody_allowed", "No enabled user may use this share: add one to validUsers.")
	case codeAdmitted:
		switch c.Name {
		case ReadOnlyRefused:
			return say("probe.read_only_not_kept", "%s could write to the share, but may only read it. Check readOnly, readList and writeList, and the share's further parameters.", c.As)
		case StrangerRefused:
			return say("probe.stranger_admitted", "The account %s, which is in no list, could connect to the share. Check validUsers and the share's further parameters; until then consider the share open to every user.", c.As)
		default:
			return say("probe.anonymous_admitted", "A client without a name and password could connect to the share. Look for `guest ok`, `map to guest` and `restrict anonymous` in the registry's [global] of this node.")
		}
	case codeRefused:
		return say("probe.connection_refused", "Nothing listens on this node's SMB port. See the node's conditions for why smbd does not run.")
	case codeLost:
		return say("probe.connection_lost", "smbd dropped the connection. If that stays, look at the log of smbd on the node: %s", c.Detail)
	case codeTimeout:
		return say("probe.timeout", "The probe got no answer in time during %q. The node may be overloaded, or the file system of %s does not answer.", c.Name, path)
	case codeDiffers:
		return say("probe.content_differs", "What was read back from %s is not what had been written. Check the disk and the share's VFS modules.", path)
	case codeNoAccount:
		return say("probe.refusal_unproven", "The probe's account %s cannot log in, so that nothing shows that strangers are refused. See the node's conditions for what keeps its account from being made.", c.As)
	case "NT_STATUS_LOGON_FAILURE", "NT_STATUS_NO_SUCH_USER", "NT_STATUS_WRONG_PASSWORD", "NT_STATUS_ACCOUNT_DISABLED",
		"NT_STATUS_ACCOUNT_EXPIRED", "NT_STATUS_ACCOUNT_LOCKED_OUT", "NT_STATUS_PASSWORD_MUST_CHANGE", "NT_STATUS_PASSWORD_EXPIRED":
		return say("probe.login_failed", "%s cannot log in on this node (%s). Set the user's password again; see the user's conditions.", c.As, c.Status)
	case "NT_STATUS_BAD_NETWORK_NAME":
		return say("probe.share_missing", "smbd does not offer the share, or cannot enter %s. Check that the directory exists and that the account %s may enter it and every directory above it.", path, owner)
	case "NT_STATUS_ACCESS_DENIED":
		switch c.Name {
		case Connect:
			return say("probe.access_denied", "%s may use the share by its spec, but was refused. Check that the account %s may enter %s and every directory above it (namei -l %s), and the share's hosts allow.", c.As, owner, path, path)
		case List:
			return say("probe.access_denied", "The directory %s may not be listed: give the account %s r-x on it (ls -ld %s).", path, owner, path)
		default:
			return say("probe.access_denied", "The directory %s does not let %s write: give the account %s rwx on it (ls -ld %s; for instance chown %s %s).", path, c.As, owner, path, owner, path)
		}
	case "NT_STATUS_DISK_FULL", "NT_STATUS_QUOTA_EXCEEDED":
		return say("probe.disk_full", "The file system of %s is full or its quota is used up. Free some space.", path)
	case "NT_STATUS_MEDIA_WRITE_PROTECTED":
		return say("probe.write_protected", "The file system of %s is mounted read-only. Mount it writable (findmnt -T %s), or make the share read-only.", path, path)
	case "NT_STATUS_OBJECT_NAME_NOT_FOUND", "NT_STATUS_OBJECT_PATH_NOT_FOUND":
		return say("probe.path_missing", "The directory %s, or a file just written there, is gone. Check that the file system is mounted (findmnt -T %s).", path, path)
	}
	return say("probe.failed", "The probe failed during %q with %s: %s", c.Name, c.Status, c.Detail)
}
