// Package problem holds the errors that people and clients see: RFC 9457 problems with a stable code.
//
// Owns: [Error], its constructors, and the list of general codes. Does not own: HTTP (package httpapi writes it) nor
// the codes of rooms, which each room declares beside its rules.
//
// Start reading at [Error].
package problem

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Error is a problem. Detail is public; the cause is for logs only and is never sent.
type Error struct {
	// Code is stable and is what clients switch on, such as "share.name_taken".
	Code   string
	Status int // HTTP status
	Title  string
	// Detail is a sentence for people that says what to do.
	Detail string
	// Fields point at the parts of the request that are wrong.
	Fields []Field
	// Retryable tells that the same request may succeed later.
	Retryable bool
	// RetryAfter is how long to wait before trying again; 0 if that is not known. It is sent in whole seconds, rounded up.
	RetryAfter time.Duration
	cause      error
}

// Field is one wrong part of a request.
type Field struct {
	// Pointer is a JSON pointer into the request body (RFC 6901), such as "/validUsers/0".
	Pointer string `json:"pointer" example:"/name"`
	Code    string `json:"code" example:"share.name_taken"`
	Detail  string `json:"detail"`
}

// General codes.
const (
	CodeInvalid              = "request.invalid"
	CodeNotFound             = "request.not_found"
	CodePreconditionRequired = "request.if_match_required"
	CodeStale                = "request.stale"
	CodeTooLarge             = "request.too_large"
	CodeKeyReused            = "request.idempotency_key_reused"
	CodeUnauthenticated      = "auth.unauthenticated"
	CodeForbidden            = "auth.forbidden"
	CodeRateLimited          = "request.rate_limited"
	CodeUnavailable          = "server.unavailable"
	CodeInternal             = "server.internal"
)

func (e *Error) Error() string {
	if e.cause != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Detail, e.cause)
	}
	return e.Code + ": " + e.Detail
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.cause }

// New returns a problem whose title is the standard text of status.
func New(status int, code, detail string) *Error {
	return &Error{Code: code, Status: status, Title: http.StatusText(status), Detail: detail}
}

// Because returns a copy of e with a cause, for the log.
func (e *Error) Because(cause error) *Error {
	c := *e
	c.cause = cause
	return &c
}

// Invalid returns a 422 whose fields say what is wrong; nil without fields.
func Invalid(fields ...Field) error {
	if len(fields) == 0 {
		return nil
	}
	code, detail := fields[0].Code, fields[0].Detail
	if len(fields) > 1 {
		code, detail = CodeInvalid, fmt.Sprintf("%d fields are wrong: %s", len(fields), fields[0].Detail)
	}
	e := New(http.StatusUnprocessableEntity, code, detail)
	e.Fields = fields
	return e
}

// Conflict returns a 409 on one field.
func Conflict(pointer, code, detail string) *Error {
	e := New(http.StatusConflict, code, detail)
	e.Fields = []Field{{Pointer: pointer, Code: code, Detail: detail}}
	return e
}

// NotFound returns a 404 for the object of kind that ref names.
func NotFound(kind, ref string) *Error {
	return New(http.StatusNotFound, kind+".not_found", fmt.Sprintf("There is no %s %q. It may have been deleted.", kind, ref))
}

// Stale returns the 412 for an If-Match that no longer fits.
func Stale() *Error {
	return New(http.StatusPreconditionFailed, CodeStale,
		"Someone else has changed this object since you read it. Read it again, then repeat your change.")
}

// Internal wraps an unexpected error; its text is not sent to the client.
func Internal(cause error) *Error {
	return New(http.StatusInternalServerError, CodeInternal,
		"Something went wrong on the server. The log has the details under this request ID.").Because(cause)
}

// From returns err as a problem: err itself when it is or wraps one, otherwise [Internal].
func From(err error) *Error {
	var p *Error
	if errors.As(err, &p) {
		return p
	}
	return Internal(err)
}

// Is reports whether err is a problem with this code.
func Is(err error, code string) bool {
	var p *Error
	return errors.As(err, &p) && p.Code == code
}
