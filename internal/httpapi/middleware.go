package httpapi

import (
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/logx"
	"github.com/pve-smb-gateway/smbgw/internal/object"
	"github.com/pve-smb-gateway/smbgw/internal/problem"
)

// maxBody is the most that any operation takes (bulk imports); most take 1 MiB ([Op.MaxBodyBytes]).
const maxBody = 16 << 20

var requestIDs = regexp.MustCompile(`^[A-Za-z0-9._-]{8,64}$`)

// requestID takes the caller's X-Request-ID, or makes one; it runs on to the agent's steps. It also writes the access log.
func (a *API) requestID(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("X-Request-ID")
		if !requestIDs.MatchString(id) {
			id = object.NewUID()
		}
		w.Header().Set("X-Request-ID", id)
		r = r.WithContext(logx.WithRequestID(r.Context(), id))
		rec := &recorder{ResponseWriter: w, status: http.StatusOK}
		start := time.Now()
		next.ServeHTTP(rec, r)
		a.opts.Log.InfoContext(r.Context(), "request", slog.String("method", r.Method), slog.String("path", r.URL.Path),
			slog.Int("status", rec.status), slog.String("remoteAddr", r.RemoteAddr),
			slog.Float64("millis", float64(time.Since(start).Microseconds())/1000))
	})
}

type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController and the WebSocket reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (a *API) recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if v := recover(); v != nil && v != http.ErrAbortHandler {
				a.opts.Log.ErrorContext(r.Context(), "panic", slog.String("value", fmt.Sprint(v)), slog.String("stack", string(debug.Stack())))
				WriteProblem(w, r, problem.Internal(fmt.Errorf("panic: %v", v)))
			}
		}()
		next.ServeHTTP(w, r)
	})
}

func limitBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > maxBody {
			WriteProblem(w, r, problem.New(http.StatusRequestEntityTooLarge, problem.CodeTooLarge, "The request body is too large."))
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		next.ServeHTTP(w, r)
	})
}

// requireIfMatch answers 428 to changes of an object that do not say which state they change (RFC 6585).
func requireIfMatch(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodPut, http.MethodPatch, http.MethodDelete:
			if r.Header.Get("If-Match") == "" {
				WriteProblem(w, r, problem.New(http.StatusPreconditionRequired, problem.CodePreconditionRequired,
					"Send the header If-Match with the ETag that you read, or * to overwrite whatever is there."))
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// notFound answers with a problem where the mux would answer with text.
func notFound(mux *http.ServeMux, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := mux.Handler(r); pattern != "" {
			next.ServeHTTP(w, r)
			return
		}
		// The mux knows whether the path exists with another method: it then answers 405 and Allow.
		probe := &discard{header: http.Header{}}
		mux.ServeHTTP(probe, r)
		if probe.status == http.StatusMethodNotAllowed {
			w.Header().Set("Allow", probe.header.Get("Allow"))
			WriteProblem(w, r, problem.New(http.StatusMethodNotAllowed, "request.method_not_allowed",
				"This address does not take "+r.Method+". It takes: "+probe.header.Get("Allow")+"."))
			return
		}
		WriteProblem(w, r, problem.New(http.StatusNotFound, problem.CodeNotFound, "There is nothing at "+r.URL.Path+". The API is described at /api/docs."))
	})
}

type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(status int)      { d.status = status }
