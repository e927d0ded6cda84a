package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/pve-smb-gateway/smbgw/internal/db"
	"github.com/pve-smb-gateway/smbgw/internal/object"
	"github.com/pve-smb-gateway/smbgw/internal/problem"
)

// Resource is a noun with the usual verbs: list, get, create, replace, patch, delete. S is the spec, which clients write;
// O the whole object, which they read. A verb whose function is nil is not offered.
type Resource[S, O any] struct {
	Kind   string // "share": the tag, and in operation ids
	Plural string // "shares": the path
	// Audit and Modify are the privileges to read and to change.
	Audit, Modify string
	// Status of a create or change, 202 where a node has to act first; 0 for the usual ones.
	Status int

	List   func(ctx context.Context, q db.ListQuery) (db.Page[O], error)
	Get    func(ctx context.Context, uid string) (O, error)
	Create func(ctx context.Context, spec S) (O, error)
	// Update replaces the spec if ifMatch fits, checked in the same transaction ([object.Meta.Match]).
	Update func(ctx context.Context, uid, ifMatch string, spec S) (O, error)
	// Delete returns the object as it is while it goes, or nil when it is gone.
	Delete func(ctx context.Context, uid, ifMatch string) (*O, error)
	// Spec and Meta return the parts of an object.
	Spec func(o O) S
	Meta func(o O) object.Meta
}

// One is an answer with one object.
type One[O any] struct {
	ETag string `header:"ETag"`
	Body O
}

type maybe[O any] struct {
	Status int
	ETag   string `header:"ETag"`
	Body   *O
}

// Mount registers the operations.
func (r Resource[S, O]) Mount(a *API) {
	status := func(usual int) int {
		if r.Status != 0 {
			return r.Status
		}
		return usual
	}
	one := func(o O, err error) (*One[O], error) {
		if err != nil {
			return nil, err
		}
		return &One[O]{ETag: r.Meta(o).ETag(), Body: o}, nil
	}
	path := "/" + r.Plural + "/{uid}"
	if r.List != nil {
		Register(a, Op{ID: "list-" + r.Plural, Method: http.MethodGet, Path: "/" + r.Plural, Summary: "List " + r.Plural, Tag: r.Kind, Privilege: r.Audit},
			func(ctx context.Context, in *struct{ db.ListQuery }) (*struct{ Body db.Page[O] }, error) {
				page, err := r.List(ctx, in.ListQuery)
				if page.Items == nil {
					page.Items = []O{}
				}
				return &struct{ Body db.Page[O] }{page}, err
			})
	}
	if r.Get != nil {
		Register(a, Op{ID: "get-" + r.Kind, Method: http.MethodGet, Path: path, Summary: "Read a " + r.Kind, Tag: r.Kind, Privilege: r.Audit},
			func(ctx context.Context, in *UID) (*One[O], error) { return one(r.Get(ctx, in.UID)) })
	}
	if r.Create != nil {
		Register(a, Op{ID: "create-" + r.Kind, Method: http.MethodPost, Path: "/" + r.Plural, Summary: "Create a " + r.Kind, Tag: r.Kind, Privilege: r.Modify, Status: status(http.StatusCreated)},
			func(ctx context.Context, in *struct{ Body S }) (*One[O], error) { return one(r.Create(ctx, in.Body)) })
	}
	if r.Update != nil {
		Register(a, Op{ID: "replace-" + r.Kind, Method: http.MethodPut, Path: path, Summary: "Replace the spec of a " + r.Kind, Tag: r.Kind, Privilege: r.Modify, Status: status(http.StatusOK)},
			func(ctx context.Context, in *struct {
				UID
				IfMatch
				Body S
			}) (*One[O], error) {
				return one(r.Update(ctx, in.UID.UID, in.IfMatch.IfMatch, in.Body))
			})
		r.mountPatch(a, path, status(http.StatusOK), one)
	}
	if r.Delete != nil {
		Register(a, Op{ID: "delete-" + r.Kind, Method: http.MethodDelete, Path: path, Summary: "Delete a " + r.Kind, Tag: r.Kind, Privilege: r.Modify, Status: status(http.StatusNoContent)},
			func(ctx context.Context, in *struct {
				UID
				IfMatch
			}) (*maybe[O], error) {
				o, err := r.Delete(ctx, in.UID.UID, in.IfMatch.IfMatch)
				if err != nil {
					return nil, err
				}
				if o == nil {
					return &maybe[O]{Status: http.StatusNoContent}, nil
				}
				return &maybe[O]{Status: status(http.StatusOK), ETag: r.Meta(*o).ETag(), Body: o}, nil
			})
	}
}

// mountPatch offers JSON merge patch (RFC 7396) on the spec.
func (r Resource[S, O]) mountPatch(a *API, path string, status int, one func(O, error) (*One[O], error)) {
	schema := a.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[S](), true, "")
	// In a patch every property may be left out, and null removes one.
	free := huma.Schema{Type: huma.TypeObject, AdditionalProperties: true, Description: "Any part of the spec; null removes a property"}
	Register(a, Op{ID: "patch-" + r.Kind, Method: http.MethodPatch, Path: path, Summary: "Change some properties of a " + r.Kind, Tag: r.Kind, Privilege: r.Modify, Status: status},
		func(ctx context.Context, in *struct {
			UID
			IfMatch
			RawBody []byte `contentType:"application/merge-patch+json"`
		}) (*One[O], error) {
			o, err := r.Get(ctx, in.UID.UID)
			if err != nil {
				return nil, err
			}
			// What was read must be what the client has seen; Update checks again, against the store.
			if err := r.Meta(o).Match(in.IfMatch.IfMatch); err != nil {
				return nil, err
			}
			spec, err := patched[S](a, schema, r.Spec(o), in.RawBody)
			if err != nil {
				return nil, err
			}
			return one(r.Update(ctx, in.UID.UID, r.Meta(o).ETag(), spec))
		})
	a.OpenAPI().Paths[Prefix+path].Patch.RequestBody.Content["application/merge-patch+json"].Schema = &free
}

func patched[S any](a *API, schema *huma.Schema, spec S, patch []byte) (S, error) {
	var zero S
	old, err := json.Marshal(spec)
	if err != nil {
		return zero, err
	}
	if !bytes.HasPrefix(bytes.TrimSpace(patch), []byte("{")) {
		return zero, problem.New(http.StatusBadRequest, problem.CodeInvalid, "A merge patch must be a JSON object.")
	}
	merged, err := jsonpatch.MergePatch(old, patch)
	if err != nil {
		return zero, problem.New(http.StatusBadRequest, problem.CodeInvalid, "The patch is not valid JSON.")
	}
	var value any
	if err := json.Unmarshal(merged, &value); err != nil {
		return zero, err
	}
	var res huma.ValidateResult
	buf := huma.NewPathBuffer([]byte("body"), 4)
	huma.Validate(a.OpenAPI().Components.Schemas, schema, buf, huma.ModeWriteToServer, value, &res)
	if len(res.Errors) > 0 {
		return zero, fromHuma(http.StatusUnprocessableEntity, "", res.Errors)
	}
	var out S
	if err := json.Unmarshal(merged, &out); err != nil {
		return zero, problem.New(http.StatusUnprocessableEntity, problem.CodeInvalid, "The patch does not fit: "+err.Error())
	}
	return out, nil
}
