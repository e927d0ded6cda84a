package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/cloudsoda/go-smb2"
	"golang.org/x/sys/unix"
)

// Codes of failures that are no answer of the server. Those that are have the name of their NT status.
const (
	codeRefused   = "CONNECTION_REFUSED"
	codeLost      = "CONNECTION_LOST"
	codeTimeout   = "TIMEOUT"
	codeNobody    = "NOBODY_ALLOWED"
	codeAdmitted  = "ADMITTED" // somebody got in who must not
	codeDiffers   = "CONTENT_DIFFERS"
	codeProtocol  = "PROTOCOL_ERROR"
	codeNoAccount = "NO_ACCOUNT"
)

// ntStatus names the answers that Samba gives in practice (MS-ERREF 2.3.1); others are shown by number.
var ntStatus = map[uint32]string{
	0xC0000001: "NT_STATUS_UNSUCCESSFUL",
	0xC0000002: "NT_STATUS_NOT_IMPLEMENTED",
	0xC0000008: "NT_STATUS_INVALID_HANDLE",
	0xC000000D: "NT_STATUS_INVALID_PARAMETER",
	0xC000000F: "NT_STATUS_NO_SUCH_FILE",
	0xC0000022: "NT_STATUS_ACCESS_DENIED",
	0xC0000033: "NT_STATUS_OBJECT_NAME_INVALID",
	0xC0000034: "NT_STATUS_OBJECT_NAME_NOT_FOUND",
	0xC0000035: "NT_STATUS_OBJECT_NAME_COLLISION",
	0xC000003A: "NT_STATUS_OBJECT_PATH_NOT_FOUND",
	0xC0000043: "NT_STATUS_SHARING_VIOLATION",
	0xC0000044: "NT_STATUS_QUOTA_EXCEEDED",
	0xC000005E: "NT_STATUS_NO_LOGON_SERVERS",
	0xC0000064: "NT_STATUS_NO_SUCH_USER",
	0xC000006A: "NT_STATUS_WRONG_PASSWORD",
	0xC000006D: "NT_STATUS_LOGON_FAILURE",
	0xC000006E: "NT_STATUS_ACCOUNT_RESTRICTION",
	0xC000006F: "NT_STATUS_INVALID_LOGON_HOURS",
	0xC0000070: "NT_STATUS_INVALID_WORKSTATION",
	0xC0000071: "NT_STATUS_PASSWORD_EXPIRED",
	0xC0000072: "NT_STATUS_ACCOUNT_DISABLED",
	0xC000007F: "NT_STATUS_DISK_FULL",
	0xC000009A: "NT_STATUS_INSUFFICIENT_RESOURCES",
	0xC00000A2: "NT_STATUS_MEDIA_WRITE_PROTECTED",
	0xC00000B5: "NT_STATUS_IO_TIMEOUT",
	0xC00000BB: "NT_STATUS_NOT_SUPPORTED",
	0xC00000C9: "NT_STATUS_NETWORK_NAME_DELETED",
	0xC00000CA: "NT_STATUS_NETWORK_ACCESS_DENIED",
	0xC00000CC: "NT_STATUS_BAD_NETWORK_NAME",
	0xC00000D0: "NT_STATUS_REQUEST_NOT_ACCEPTED",
	0xC0000101: "NT_STATUS_DIRECTORY_NOT_EMPTY",
	0xC0000103: "NT_STATUS_NOT_A_DIRECTORY",
	0xC0000120: "NT_STATUS_CANCELLED",
	0xC0000185: "NT_STATUS_IO_DEVICE_ERROR",
	0xC0000193: "NT_STATUS_ACCOUNT_EXPIRED",
	0xC0000203: "NT_STATUS_USER_SESSION_DELETED",
	0xC0000224: "NT_STATUS_PASSWORD_MUST_CHANGE",
	0xC0000234: "NT_STATUS_ACCOUNT_LOCKED_OUT",
	0xC000035C: "NT_STATUS_NETWORK_SESSION_EXPIRED",
}

// status names what err tells: the NT status of the server's answer, or one of the codes above.
func status(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, errDiffers):
		return codeDiffers
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), errors.Is(err, os.ErrDeadlineExceeded):
		return codeTimeout
	case errors.Is(err, unix.ECONNREFUSED):
		return codeRefused
	}
	if answer, ok := errors.AsType[*smb2.ResponseError](err); ok {
		if name := ntStatus[answer.Code]; name != "" {
			return name
		}
		return fmt.Sprintf("NT_STATUS_0x%08X", answer.Code)
	}
	// The client library turns these three into errors of package os.
	switch {
	case errors.Is(err, os.ErrPermission):
		return "NT_STATUS_ACCESS_DENIED"
	case errors.Is(err, os.ErrNotExist):
		return "NT_STATUS_OBJECT_NAME_NOT_FOUND"
	case errors.Is(err, os.ErrExist):
		return "NT_STATUS_OBJECT_NAME_COLLISION"
	case errors.Is(err, smb2.ErrRequestNotAccepted):
		return "NT_STATUS_REQUEST_NOT_ACCEPTED"
	}
	if lost(err) {
		return codeLost
	}
	return codeProtocol
}

// lost reports whether the connection on which err happened is of no more use.
func lost(err error) bool {
	_, transport := errors.AsType[*smb2.TransportError](err)
	_, network := errors.AsType[*net.OpError](err)
	return transport || network
}

// isRefusal reports whether a status is a server's "no" to somebody, as opposed to something that went wrong.
func isRefusal(status string) bool {
	switch status {
	case "NT_STATUS_ACCESS_DENIED", "NT_STATUS_NETWORK_ACCESS_DENIED", "NT_STATUS_LOGON_FAILURE", "NT_STATUS_ACCOUNT_DISABLED",
		"NT_STATUS_ACCOUNT_RESTRICTION", "NT_STATUS_MEDIA_WRITE_PROTECTED":
		return true
	}
	return false
}
