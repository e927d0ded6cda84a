package client

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Meta is the part of every object that only the server writes.
type Meta struct {
	UID        string    `json:"uid"`
	Generation int64     `json:"generation"`
	Revision   int64     `json:"revision"`
	CreatedAt  time.Time `json:"createdAt"`
	UpdatedAt  time.Time `json:"updatedAt"`
}

// ETag returns the entity tag of this state of the object; [Any] if the state is not known.
func (m Meta) ETag() string {
	if m.Revision == 0 {
		return Any
	}
	return strconv.Quote(strconv.FormatInt(m.Revision, 10))
}

// Any as an ETag changes an object whatever state it is in.
const Any = "*"

// ListOptions narrow and order a list. The zero value asks for everything in the server's order.
type ListOptions struct {
	Search string // full-text
	Filter string // such as: ready eq "False"
	Sort   string // such as: name,-createdAt
	Limit  int    // items per page; the server's choice if zero
	Cursor string // NextCursor of the page before
}

func (o ListOptions) query() string {
	v := url.Values{}
	set := func(key, value string) {
		if value != "" {
			v.Set(key, value)
		}
	}
	set("q", o.Search)
	set("filter", o.Filter)
	set("sort", o.Sort)
	set("cursor", o.Cursor)
	if o.Limit > 0 {
		v.Set("limit", strconv.Itoa(o.Limit))
	}
	if len(v) == 0 {
		return ""
	}
	return "?" + v.Encode()
}

// Page is one page of a list.
type Page[O any] struct {
	Items      []O    `json:"items"`
	NextCursor string `json:"nextCursor,omitempty"`
	Total      int    `json:"total"`
}

// Collection is a noun of the API with the usual verbs. S is what clients write, O the whole object.
type Collection[S, O any] struct {
	c     *Client
	kind  string
	path  string
	names func(O) (uid, name string)
}

// Kind returns the noun, such as "share".
func (l *Collection[S, O]) Kind() string { return l.kind }

func (l *Collection[S, O]) one(uid string) string { return l.path + "/" + url.PathEscape(uid) }

// List returns one page.
func (l *Collection[S, O]) List(ctx context.Context, o ListOptions) (Page[O], error) {
	var page Page[O]
	err := l.c.do(ctx, call{method: http.MethodGet, path: l.path + o.query(), into: &page})
	if page.Items == nil {
		page.Items = []O{}
	}
	return page, err
}

// All walks over every item, fetching page after page. It ends after the first error.
func (l *Collection[S, O]) All(ctx context.Context, o ListOptions) iter.Seq2[O, error] {
	return func(yield func(O, error) bool) {
		if o.Limit == 0 {
			o.Limit = 500
		}
		for {
			page, err := l.List(ctx, o)
			if err != nil {
				var zero O
				yield(zero, err)
				return
			}
			for _, item := range page.Items {
				if !yield(item, nil) {
					return
				}
			}
			if page.NextCursor == "" || page.NextCursor == o.Cursor {
				return
			}
			o.Cursor = page.NextCursor
		}
	}
}

// Get returns the object with this UID.
func (l *Collection[S, O]) Get(ctx context.Context, uid string) (O, error) {
	var o O
	err := l.c.do(ctx, call{method: http.MethodGet, path: l.one(uid), into: &o})
	return o, err
}

// Find returns the object with this name or UID, or a [Problem] with the code kind.not_found. SMB does not tell upper
// from lower case, so neither does Find.
func (l *Collection[S, O]) Find(ctx context.Context, ref string) (O, error) {
	var zero O
	tried := []string{ref}
	if lower := strings.ToLower(ref); lower != ref {
		tried = append(tried, lower)
	}
	for _, name := range tried {
		page, err := l.List(ctx, ListOptions{Filter: "name eq " + Quote(name), Limit: 10})
		if err != nil {
			return zero, err
		}
		for _, o := range page.Items {
			if _, n := l.names(o); strings.EqualFold(n, ref) {
				return o, nil
			}
		}
	}
	if looksLikeUID(ref) {
		o, err := l.Get(ctx, ref)
		if err == nil || CodeOf(err) != l.kind+".not_found" {
			return o, err
		}
	}
	code := l.kind + ".not_found"
	return zero, &Problem{Type: "urn:smbgw:problem:" + code, Title: "Not Found", Status: http.StatusNotFound, Code: code,
		Detail: fmt.Sprintf("There is no %s %q.", l.kind, ref)}
}

// Create makes an object. It is safe against lost answers: tries again carry the same Idempotency-Key.
func (l *Collection[S, O]) Create(ctx context.Context, spec S) (O, error) {
	var o O
	err := l.c.do(ctx, call{method: http.MethodPost, path: l.path, body: spec, into: &o})
	return o, err
}

// Replace writes the whole spec if the object is still in the state that etag names.
func (l *Collection[S, O]) Replace(ctx context.Context, uid, etag string, spec S) (O, error) {
	var o O
	err := l.c.do(ctx, call{method: http.MethodPut, path: l.one(uid), body: spec, ifMatch: etag, into: &o})
	return o, err
}

// Patch changes some properties of the spec (JSON merge patch: nil removes one).
func (l *Collection[S, O]) Patch(ctx context.Context, uid, etag string, patch map[string]any) (O, error) {
	var o O
	err := l.c.do(ctx, call{method: http.MethodPatch, path: l.one(uid), body: patch, merge: true, ifMatch: etag, into: &o})
	return o, err
}

// Delete removes an object. It returns the object as it is while it goes; the zero value when it is gone at once.
func (l *Collection[S, O]) Delete(ctx context.Context, uid, etag string) (O, error) {
	return l.remove(ctx, uid, etag, "")
}

// ForceDelete removes an object although others refer to it.
func (l *Collection[S, O]) ForceDelete(ctx context.Context, uid, etag string) (O, error) {
	return l.remove(ctx, uid, etag, "?force=true")
}

func (l *Collection[S, O]) remove(ctx context.Context, uid, etag, query string) (O, error) {
	var o O
	err := l.c.do(ctx, call{method: http.MethodDelete, path: l.one(uid) + query, ifMatch: etag, into: &o})
	return o, err
}

// Quote writes a value for [ListOptions].Filter, as a JSON string without the escapes for HTML.
func Quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ':
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func looksLikeUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i, r := range s {
		if dash := i == 8 || i == 13 || i == 18 || i == 23; dash != (r == '-') || !dash && !strings.ContainsRune("0123456789abcdef", r) {
			return false
		}
	}
	return true
}
