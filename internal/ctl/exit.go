package ctl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/pve-smb-gateway/smbgw/client"
	"github.com/spf13/cobra"
)

// Exit codes. Scripts rely on them; docs/cli.md shows the table.
const (
	exitOK          = 0
	exitOther       = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitConflict    = 4
	exitInvalid     = 5
	exitDenied      = 6
	exitUnavailable = 7
	exitNotReady    = 8
)

var exitMeanings = []struct {
	code    int
	meaning string
	codes   string
}{
	{exitOK, "done (also when there was nothing to change)", ""},
	{exitOther, "something else went wrong", "`server.internal`, `cli.failed`, `cli.declined`"},
	{exitUsage, "the command line or an input file is wrong; the server was not asked to change anything", "`cli.usage`"},
	{exitNotFound, "there is no such object", "`*.not_found` (404)"},
	{exitConflict, "the object is taken, in use, or was changed by someone else", "`*_taken`, `*.in_use`, `request.stale` (409, 412, 428)"},
	{exitInvalid, "the server refuses the values", "`request.invalid` and the rooms' own codes (400, 413, 422)"},
	{exitDenied, "not logged in, not allowed, or the server is not the one that was pinned", "`auth.*` (401, 403), `cli.fingerprint`"},
	{exitUnavailable, "no answer, too busy, or the time is up", "`server.unavailable`, `request.rate_limited` (429, 502-504), `cli.unreachable`, `cli.timeout`"},
	{exitNotReady, "written, but not Ready (with --wait); a task failed", "`cli.not_ready`"},
}

// usageError is a mistake in the command line or in an input file.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usage(format string, args ...any) error { return &usageError{text: fmt.Sprintf(format, args...)} }

// notReadyError tells that a change was written but its effect did not come.
type notReadyError struct{ text string }

func (e *notReadyError) Error() string { return e.text }

// errDeclined is returned when a person answers no.
var errDeclined = errors.New("nothing was changed")

// exitCode returns what the process ends with.
func exitCode(err error) int {
	var (
		use      *usageError
		notReady *notReadyError
		p        *client.Problem
		u        *client.Unreachable
	)
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &use):
		return exitUsage
	case errors.As(err, &p):
		return exitOfProblem(p)
	case errors.Is(err, client.ErrFingerprint):
		return exitDenied
	case errors.As(err, &u), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return exitUnavailable
	case errors.As(err, &notReady): // after the others: what was not even written is worse
		return exitNotReady
	}
	return exitOther
}

func exitOfProblem(p *client.Problem) int {
	switch p.Status {
	case http.StatusNotFound, http.StatusGone:
		return exitNotFound
	case http.StatusConflict, http.StatusPreconditionFailed, http.StatusPreconditionRequired:
		return exitConflict
	case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType:
		return exitInvalid
	case http.StatusUnauthorized, http.StatusForbidden:
		return exitDenied
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return exitUnavailable
	}
	return exitOther
}

// problemOf returns err in the form that --json prints: the server's problem, or one with a code cli.*.
func problemOf(err error) *client.Problem {
	var p *client.Problem
	if errors.As(err, &p) {
		all := *p
		if several := (*applyError)(nil); errors.As(err, &several) {
			all.Detail = several.text
		}
		return &all
	}
	code, title := "cli.failed", "Failed"
	switch exitCode(err) {
	case exitUsage:
		code, title = "cli.usage", "Wrong usage"
	case exitNotReady:
		code, title = "cli.not_ready", "Not ready"
	case exitDenied:
		code, title = "cli.fingerprint", "Not the pinned server"
	case exitUnavailable:
		code, title = "cli.timeout", "Out of time"
		if u := (*client.Unreachable)(nil); errors.As(err, &u) && !errors.Is(err, context.DeadlineExceeded) {
			code, title = "cli.unreachable", "No answer"
		}
	}
	if errors.Is(err, errDeclined) {
		code, title = "cli.declined", "Declined"
	}
	return &client.Problem{Type: "urn:smbgw:problem:" + code, Title: title, Code: code, Detail: err.Error(), Retryable: exitCode(err) == exitUnavailable}
}

func writeError(w io.Writer, cmd *cobra.Command, err error, asJSON bool) {
	if asJSON {
		raw, _ := json.Marshal(problemOf(err)) // strings and numbers only
		_, _ = fmt.Fprintf(w, "%s\n", raw)
		return
	}
	text := clean(err.Error())
	var p *client.Problem
	switch {
	case errors.As(err, &p):
		text += fmt.Sprintf("\n  (%s", clean(p.Code))
		if p.RequestID != "" {
			text += ", request " + clean(p.RequestID)
		}
		text += ")"
		if p.Code == client.CodeUnauthenticated {
			text += "\n  Run 'smbgw login' to get a new token."
		}
	case exitCode(err) == exitUsage:
		text += "\n  Run '" + cmd.CommandPath() + " --help' for how to use it."
	case errors.Is(err, context.DeadlineExceeded):
		text = strings.TrimSuffix(text, ": context deadline exceeded") + "\n  The time is up; --timeout gives more."
	}
	_, _ = fmt.Fprintf(w, "Error: %s\n", text) // nowhere left to say so
}
