package httpapi

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/pve-smb-gateway/smbgw/internal/db"
	"github.com/pve-smb-gateway/smbgw/internal/logx"
	"github.com/pve-smb-gateway/smbgw/internal/problem"
)

// Problem is the wire form of a [problem.Error] (RFC 9457).
type Problem struct {
	Type      string          `json:"type" example:"urn:smbgw:problem:share.name_taken"`
	Title     string          `json:"title"`
	Status    int             `json:"status"`
	Code      string          `json:"code" doc:"Stable; switch on this alone" example:"share.name_taken"`
	Detail    string          `json:"detail" doc:"A sentence for people that says what to do"`
	Errors    []problem.Field `json:"errors,omitempty"`
	Retryable bool            `json:"retryable" doc:"The same request may succeed later"`
	RequestID string          `json:"requestID,omitempty"`

	retryAfter time.Duration
}

// GetHeaders implements huma.HeadersError.
func (p *Problem) GetHeaders() http.Header {
	h := http.Header{}
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64((p.retryAfter+time.Second-1)/time.Second), 10))
	}
	return h
}

func (p *Problem) Error() string { return p.Code + ": " + p.Detail }

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType implements huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

func toWire(ctx context.Context, e *problem.Error) *Problem {
	return &Problem{
		Type: "urn:smbgw:problem:" + e.Code, Title: e.Title, Status: e.Status, Code: e.Code, Detail: e.Detail,
		Errors: e.Fields, Retryable: e.Retryable, RequestID: logx.RequestID(ctx), retryAfter: e.RetryAfter,
	}
}

// wire turns any error of a handler into its wire form and logs what is not the client's fault.
func (a *API) wire(ctx context.Context, err error) *Problem {
	if db.IsUnavailable(err) {
		e := problem.New(http.StatusServiceUnavailable, problem.CodeUnavailable,
			"The database cannot be written now: it is busy, full or read-only. Nothing was changed. Shares go on working; try again later.")
		e.Retryable = true
		err = e.Because(err)
	}
	p := problem.From(err)
	if p.Status >= http.StatusInternalServerError {
		a.opts.Log.ErrorContext(ctx, "request failed", slog.String("code", p.Code), slog.Any("error", err))
	}
	return toWire(ctx, p)
}

// WriteProblem answers r with err as a problem.
func WriteProblem(w http.ResponseWriter, r *http.Request, err error) {
	p := toWire(r.Context(), problem.From(err))
	maps.Copy(w.Header(), p.GetHeaders())
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client may be gone
}

// huma reports its own findings (schema validation, unreadable bodies) through these hooks; they are process-wide.
func init() {
	huma.NewErrorWithContext = func(ctx huma.Context, status int, msg string, errs ...error) huma.StatusError {
		var c context.Context = context.Background()
		if ctx != nil {
			c = ctx.Context()
		}
		return toWire(c, fromHuma(status, msg, errs))
	}
	huma.NewError = func(status int, msg string, errs ...error) huma.StatusError {
		return toWire(context.Background(), fromHuma(status, msg, errs))
	}
}

func fromHuma(status int, msg string, errs []error) *problem.Error {
	e := problem.New(status, problem.CodeInvalid, msg)
	switch status {
	case http.StatusRequestEntityTooLarge:
		e.Code, e.Detail = problem.CodeTooLarge, "The request body is too large."
	case http.StatusUnsupportedMediaType, http.StatusNotAcceptable:
		e.Code = "request.media_type"
	}
	var parts []string
	for _, err := range errs {
		if err == nil {
			continue
		}
		field := problem.Field{Code: problem.CodeInvalid, Detail: err.Error()}
		if d, ok := err.(huma.ErrorDetailer); ok {
			detail := d.ErrorDetail() // its Value is left out: it may be a secret
			field.Pointer, field.Detail = pointer(detail.Location), detail.Message
		}
		e.Fields = append(e.Fields, field)
		parts = append(parts, strings.TrimPrefix(field.Pointer+": ", ": ")+field.Detail)
	}
	if len(parts) > 0 {
		e.Detail = strings.Join(parts, "; ")
	}
	return e
}

// pointer turns "body.validUsers[0]" into "/validUsers/0" and "query.limit" into "query:limit".
func pointer(location string) string {
	path, ok := strings.CutPrefix(location, "body")
	if !ok {
		return strings.Replace(location, ".", ":", 1)
	}
	return strings.NewReplacer(".", "/", "[", "/", "]", "").Replace(path)
}
