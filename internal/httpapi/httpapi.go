// Package httpapi mounts REST v2: operations, problems, preconditions, idempotency.
//
// Owns: [API] and [Register], the generic [Resource], the wire form of problems, and the middleware that every request
// passes: request ID, body limits, 428 without If-Match, replay by Idempotency-Key (table httpapi_request).
// Does not own: any product noun; rooms mount themselves with [Register] or [Resource.Mount]. Who is logged in is found by
// the auth room's middleware; httpapi only asks [Options.Authorize] and denies by default.
//
// Start reading at [Register].
package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/pve-smb-gateway/smbgw/internal/clock"
	"github.com/pve-smb-gateway/smbgw/internal/db"
)

// Prefix is where REST v2 lives.
const Prefix = "/api/v2"

// Privileges that are no room's.
const (
	// Public operations need no login.
	Public = "public"
	// LoggedIn operations need a login, with whatever privileges.
	LoggedIn = "loggedIn"
)

// Options of an [API].
type Options struct {
	// Authorize returns nil if whoever acts in ctx holds the privilege ([LoggedIn] included), else a problem.
	Authorize func(ctx context.Context, privilege string) error
	// Authenticate puts the actor into the request's context; see the auth room.
	Authenticate func(http.Handler) http.Handler
	DB           *db.DB
	Clock        clock.Clock
	Log          *slog.Logger
}

// API is REST v2. Operations are registered at start, before it serves.
type API struct {
	huma huma.API
	mux  *http.ServeMux
	opts Options
}

// New returns an API without operations.
func New(o Options) *API {
	config := huma.DefaultConfig("PVE SMB Gateway", "2")
	config.Info.Description = "SMB shares on real Samba. Errors are application/problem+json (RFC 9457) with a stable code. " +
		"PUT, PATCH and DELETE need If-Match. POST takes an Idempotency-Key."
	config.Info.License = &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"}
	config.DocsPath, config.SchemasPath, config.OpenAPIPath = "", "", "/api/openapi"
	config.CreateHooks = nil // no $schema in bodies
	config.Components.Schemas = huma.NewMapRegistry("#/components/schemas/", schemaName)
	config.RejectUnknownQueryParameters = true
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token":  {Type: "http", Scheme: "bearer", Description: "An API token"},
		"cookie": {Type: "apiKey", In: "cookie", Name: "__Host-smbgw_session", Description: "A login of the console; writes also need X-CSRF-Token"},
	}
	mux := http.NewServeMux()
	return &API{huma: humago.New(mux, config), mux: mux, opts: o}
}

// OpenAPI returns the description of the API (OpenAPI 3.1).
func (a *API) OpenAPI() *huma.OpenAPI { return a.huma.OpenAPI() }

// Handle mounts a handler that is no operation of the API, such as the WebSocket, behind the login.
func (a *API) Handle(pattern, privilege string, h http.Handler) {
	a.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		if err := a.authorize(r.Context(), privilege); err != nil {
			WriteProblem(w, r, err)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// Handler returns the whole API with its middleware. Call it after all registrations.
func (a *API) Handler() http.Handler {
	var h http.Handler = a.mux
	h = notFound(a.mux, h)
	h = a.idempotent(h)
	h = requireIfMatch(h)
	h = a.opts.Authenticate(h)
	h = limitBody(h)
	h = a.recovered(h)
	return a.requestID(h)
}

// Op describes an operation.
type Op struct {
	ID          string // operationId, such as "list-shares"
	Method      string
	Path        string // below [Prefix]
	Summary     string
	Description string
	Tag         string // the room
	// Privilege is what the caller must hold: "Share.Modify", [LoggedIn] or [Public]. Without it Register panics.
	Privilege string
	Status    int // of success; 200 if zero
	// MaxBodyBytes limits the body; 1 MiB if zero.
	MaxBodyBytes int64
}

// Register adds an operation. It panics when the operation is described badly: that is a mistake in the program.
func Register[I, O any](a *API, op Op, handler func(context.Context, *I) (*O, error)) {
	huma.Register(a.huma, a.operation(op), func(ctx context.Context, in *I) (*O, error) {
		out, err := handler(ctx, in)
		if err != nil {
			return nil, a.wire(ctx, err)
		}
		return out, nil
	})
}

func (a *API) operation(op Op) huma.Operation {
	if op.Privilege == "" {
		panic("httpapi: operation " + op.ID + " names no privilege")
	}
	if op.MaxBodyBytes > maxBody {
		panic("httpapi: operation " + op.ID + " takes more than the API lets through")
	}
	o := huma.Operation{
		OperationID: op.ID, Method: op.Method, Path: Prefix + op.Path, Summary: op.Summary, Description: op.Description,
		Tags: []string{op.Tag}, DefaultStatus: op.Status, MaxBodyBytes: op.MaxBodyBytes,
		Extensions: map[string]any{"x-privilege": op.Privilege},
		// Before anything of the request is read or judged.
		Middlewares: huma.Middlewares{func(ctx huma.Context, next func(huma.Context)) {
			if err := a.authorize(ctx.Context(), op.Privilege); err != nil {
				r, w := humago.Unwrap(ctx)
				WriteProblem(w, r, err)
				return
			}
			next(ctx)
		}},
	}
	if op.Privilege != Public {
		o.Security = []map[string][]string{{"token": {}}, {"cookie": {}}}
	}
	return o
}

func (a *API) authorize(ctx context.Context, privilege string) error {
	if privilege == Public {
		return nil
	}
	return a.opts.Authorize(ctx, privilege)
}

// IfMatch is embedded in the input of operations that change one object. Middleware has made sure that it is there.
type IfMatch struct {
	IfMatch string `header:"If-Match" required:"true" doc:"ETag of the object that was read, or *" example:"\"3\""`
}

// UID is embedded in the input of operations on one object.
type UID struct {
	UID string `path:"uid" maxLength:"64" pattern:"^[!-~]+$"`
}

// schemaName puts the room before names that several rooms use: share.Spec is ShareSpec, but share.Share is Share.
func schemaName(t reflect.Type, hint string) string {
	name := huma.DefaultSchemaNamer(t, hint)
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	_, pkg, ok := strings.Cut(t.PkgPath(), "/internal/")
	if !ok || t.Name() == "" || strings.Contains(t.Name(), "[") {
		return name
	}
	switch pkg { // shared by all rooms
	case "object", "desired", "event", "problem", "httpapi", "db":
		return name
	}
	room := strings.ToUpper(pkg[:1]) + pkg[1:]
	if strings.HasPrefix(name, room) {
		return name
	}
	return room + name
}
