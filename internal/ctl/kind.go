package ctl

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pve-smb-gateway/smbgw/client"
)

// kind is a kind of document, and how its objects are reached.
type kind struct {
	name   string // as documents say it
	noun   string // as commands say it
	fields []field
	list   func(ctx context.Context, c *client.Client, filter string) ([]item, error)
	create func(ctx context.Context, c *client.Client, fields map[string]any) (item, error)
	patch  func(ctx context.Context, c *client.Client, base client.Meta, patch map[string]any) (item, error)
	remove func(ctx context.Context, c *client.Client, uid string) error
}

// item is an object on the server, by field.
type item struct {
	meta   client.Meta
	name   string
	fields map[string]any
	share  *client.Share // set for shares
}

var (
	userKind = bind(kind{name: "User", noun: "user", fields: []field{
		{name: "name", doc: "log-in name"},
		{name: "fullName", doc: "the person's name"},
		{name: "enabled", typ: boolField, doc: "may log in"},
		{name: "groups", typ: listField, elsewhere: true, doc: "names of groups; the members of a Group say the same"},
		{name: "password", secret: true, doc: "used when the user is created, and never again; prefer `smbgw user passwd`"},
	}}, (*client.Client).Users, func(u client.User) (client.Meta, string) { return u.Meta, u.Name })

	groupKind = bind(kind{name: "Group", noun: "group", fields: []field{
		{name: "name", doc: "shares name it @name"},
		{name: "members", typ: listField, doc: "names of users"},
	}}, (*client.Client).Groups, func(g client.Group) (client.Meta, string) { return g.Meta, g.Name })

	shareKind = bind(kind{name: "Share", noun: "share", fields: []field{
		{name: "name", doc: "as clients see it"},
		{name: "node", doc: "name of the node; may be left out where there is one; cannot be changed"},
		{name: "path", doc: "directory on the node; empty: the first share root with the name"},
		{name: "createPath", typ: boolField, doc: "create the directory if it is missing"},
		{name: "comment", doc: "what clients see beside the name"},
		{name: "readOnly", typ: boolField, doc: "nobody writes, except who is in writeList"},
		{name: "browseable", typ: boolField, doc: "shown when clients list shares"},
		{name: "validUsers", typ: listField, doc: "users and @groups that may connect; empty: everyone"},
		{name: "readList", typ: listField, doc: "users and @groups that may only read"},
		{name: "writeList", typ: listField, doc: "users and @groups that may write although it is read-only"},
		{name: "parameters", typ: mapField, doc: "further smb.conf(5) parameters; replaced as a whole"},
	}}, (*client.Client).Shares, func(s client.Share) (client.Meta, string) { return s.Meta, s.Name })

	// nodeKind is for edit only: nodes come by enrolment.
	nodeKind = bind(kind{name: "Node", noun: "node", fields: []field{
		{name: "name"},
		{name: "advertisedAddress", doc: "name or address by which SMB clients reach it; empty: where its agent says"},
	}}, (*client.Client).Nodes, func(n client.Node) (client.Meta, string) { return n.Meta, n.Name })
)

// declarable returns the kinds that documents may have, in the order in which they are written: shares name users and
// groups, groups name users.
func declarable() []*kind { return []*kind{userKind, groupKind, shareKind} }

func kindNames(kinds []*kind) string {
	var names []string
	for _, k := range kinds {
		names = append(names, k.name)
	}
	return strings.Join(names, ", ")
}

func (k *kind) field(name string) *field {
	if i := slices.IndexFunc(k.fields, func(f field) bool { return f.name == name }); i >= 0 {
		return &k.fields[i]
	}
	return nil
}

func (k *kind) fieldNames() string {
	var names []string
	for _, f := range k.fields {
		names = append(names, f.name)
	}
	return strings.Join(names, ", ")
}

// bind gives a kind its verbs from the collection that holds its objects.
func bind[S, O any](k kind, in func(*client.Client) *client.Collection[S, O], meta func(O) (client.Meta, string)) *kind {
	out := &k
	take := func(o O, err error) (item, error) {
		if err != nil {
			return item{}, err
		}
		m, name := meta(o)
		fields, err := out.fieldsOf(o)
		it := item{meta: m, name: name, fields: fields}
		if s, ok := any(o).(client.Share); ok {
			it.share = &s
		}
		return it, err
	}
	out.list = func(ctx context.Context, c *client.Client, filter string) ([]item, error) {
		var items []item
		for o, err := range in(c).All(ctx, client.ListOptions{Filter: filter, Limit: 1000}) {
			it, err := take(o, err)
			if err != nil {
				return nil, err
			}
			items = append(items, it)
		}
		return items, nil
	}
	out.create = func(ctx context.Context, c *client.Client, fields map[string]any) (item, error) {
		return take(createFrom(ctx, in(c), fields))
	}
	out.patch = func(ctx context.Context, c *client.Client, base client.Meta, patch map[string]any) (item, error) {
		return take(patchSpec(ctx, in(c), base, patch, func(o O) client.Meta { m, _ := meta(o); return m }))
	}
	out.remove = func(ctx context.Context, c *client.Client, uid string) error {
		_, err := in(c).Delete(ctx, uid, client.Any)
		return err
	}
	return out
}

// fieldsOf returns the fields of an object that a document can hold.
func (k *kind) fieldsOf(o any) (map[string]any, error) {
	raw, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	var all map[string]any
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, err
	}
	if k.noun == "share" {
		all["nodeUID"], all["node"] = all["node"], all["nodeName"]
	}
	fields := map[string]any{}
	for i := range k.fields {
		f := &k.fields[i]
		if v, ok := all[f.name]; ok && !f.secret {
			if fields[f.name], ok = f.take(v); !ok {
				return nil, fmt.Errorf("the server sent %s as something else than %s; update smbgw", f.name, f.typ)
			}
		}
	}
	if uid, ok := all["nodeUID"]; ok {
		fields["nodeUID"] = uid
	}
	return fields, nil
}

// createFrom creates an object from fields by their API names.
func createFrom[S, O any](ctx context.Context, in *client.Collection[S, O], fields map[string]any) (O, error) {
	var spec S
	var zero O
	raw, err := json.Marshal(fields)
	if err != nil {
		return zero, err
	}
	if err := json.Unmarshal(raw, &spec); err != nil {
		return zero, err
	}
	return in.Create(ctx, spec)
}

// patchSpec sends a patch that was made from the state base. When that state is stale only because the status moved, which
// it does all the time, the patch is sent again; when the spec has changed the problem stands.
func patchSpec[S, O any](ctx context.Context, in *client.Collection[S, O], base client.Meta, patch map[string]any, meta func(O) client.Meta) (O, error) {
	etag := base.ETag()
	for try := 0; ; try++ {
		o, err := in.Patch(ctx, base.UID, etag, patch)
		if client.CodeOf(err) != client.CodeStale || try == 5 {
			return o, err
		}
		now, getErr := in.Get(ctx, base.UID)
		if getErr != nil || meta(now).Generation != base.Generation {
			return o, err
		}
		etag = meta(now).ETag()
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func sortStrings(s []string) { slices.Sort(s) }
