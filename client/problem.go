package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Problem is an error that the server answered with (RFC 9457). Switch on Code alone.
type Problem struct {
	Type      string  `json:"type"`
	Title     string  `json:"title"`
	Status    int     `json:"status"`
	Code      string  `json:"code"`
	Detail    string  `json:"detail"`
	Errors    []Field `json:"errors,omitempty"`
	Retryable bool    `json:"retryable"`
	RequestID string  `json:"requestID,omitempty"`
	// RetryAfter is how long the server asks to wait; zero if it does not say.
	RetryAfter time.Duration `json:"-"`
}

// Field is one wrong part of a request.
type Field struct {
	// Pointer is a JSON pointer into the request body, such as "/validUsers/0".
	Pointer string `json:"pointer"`
	Code    string `json:"code"`
	Detail  string `json:"detail"`
}

func (p *Problem) Error() string {
	if len(p.Errors) < 2 {
		return p.Detail
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d fields are wrong:", len(p.Errors))
	for _, f := range p.Errors {
		fmt.Fprintf(&b, "\n  %s: %s", strings.TrimPrefix(f.Pointer, "/"), f.Detail)
	}
	return b.String()
}

// CodeOf returns the code of the problem that err is or wraps, or "".
func CodeOf(err error) string {
	var p *Problem
	if errors.As(err, &p) {
		return p.Code
	}
	return ""
}

// problemOf reads the problem of an answer. Something in between may answer with a page of its own.
func problemOf(res *http.Response, body []byte, requestID string) *Problem {
	p := &Problem{}
	if !bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")) || json.Unmarshal(body, p) != nil || p.Code == "" {
		*p = Problem{
			Type: "about:blank", Code: "http." + strconv.Itoa(res.StatusCode), Title: http.StatusText(res.StatusCode),
			Detail: fmt.Sprintf("The server answered %s, and not in the form of the API. Is the address right?", res.Status),
			// A proxy that cannot reach the server.
			Retryable: res.StatusCode == http.StatusBadGateway || res.StatusCode == http.StatusGatewayTimeout,
		}
	}
	p.Status = res.StatusCode
	if p.Detail == "" {
		p.Detail = p.Title
	}
	if p.RequestID == "" {
		p.RequestID = requestID
	}
	if s, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && s > 0 {
		p.RetryAfter = time.Duration(s) * time.Second
	}
	return p
}

// Codes that programs often switch on.
const (
	// CodeStale tells that the object was changed since its ETag was read.
	CodeStale = "request.stale"
	// CodeUnauthenticated tells that there is no token, or that it is unknown, expired or revoked.
	CodeUnauthenticated = "auth.unauthenticated"
)
