package ctl

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
	"sigs.k8s.io/yaml"
)

// apiVersion stands in every document that is written; one that names another version is refused.
const apiVersion = "smbgw/v2"

// fieldType is what a field of a document holds.
type fieldType int

const (
	textField fieldType = iota
	boolField
	listField // of strings; their order means nothing
	mapField  // of strings
)

func (t fieldType) String() string {
	return [...]string{"text", "true or false", "a list of texts", "a map of texts"}[t]
}

// field is one property of a document.
type field struct {
	name string
	typ  fieldType
	// secret fields are written at creation only, never read, and never shown.
	secret bool
	// elsewhere marks a field that export leaves out, because another kind says the same.
	elsewhere bool
	doc       string
}

// document is one object as a file declares it. What is left out stays as it is on the server.
type document struct {
	kind   *kind
	fields map[string]any
	source string // for messages: file and number
}

func (d *document) name() string { s, _ := d.fields["name"].(string); return s }

// key is the same for names that the server takes for the same.
func key(name string) string { return cases.Fold().String(norm.NFC.String(name)) }

// readDocuments reads every document of files, directories (their *.yaml, *.yml, *.json) and "-".
func readDocuments(cmd *cobra.Command, names []string) ([]document, error) {
	var docs []document
	for _, name := range names {
		files := []string{name}
		if info, err := os.Stat(name); name != "-" && err == nil && info.IsDir() {
			if files, err = filesIn(name); err != nil {
				return nil, err
			}
		}
		for _, file := range files {
			raw, err := readFile(cmd, file)
			if err != nil {
				return nil, err
			}
			label := file
			if file == "-" {
				label = "standard input"
			}
			found, err := parseDocuments(label, raw, declarable()...)
			if err != nil {
				return nil, err
			}
			docs = append(docs, found...)
		}
	}
	if len(docs) == 0 {
		return nil, usage("no documents in %s", strings.Join(names, ", "))
	}
	first := map[string]string{}
	for _, d := range docs {
		k := d.kind.name + "/" + key(d.name())
		if before, ok := first[k]; ok {
			return nil, usage("%s: %s %q is also in %s", d.source, d.kind.name, d.name(), before)
		}
		first[k] = d.source
	}
	return docs, nil
}

func filesIn(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, usage("%v", err)
	}
	var files []string
	for _, e := range entries {
		ext := strings.ToLower(filepath.Ext(e.Name()))
		if !e.IsDir() && !strings.HasPrefix(e.Name(), ".") && slices.Contains([]string{".yaml", ".yml", ".json"}, ext) {
			files = append(files, filepath.Join(dir, e.Name()))
		}
	}
	if len(files) == 0 {
		return nil, usage("%s holds no *.yaml, *.yml or *.json", dir)
	}
	return files, nil
}

// parseDocuments reads documents of some kinds: YAML documents, separated by lines of ---, or JSON: one object, an array, or {"items": […]}.
func parseDocuments(label string, raw []byte, kinds ...*kind) ([]document, error) {
	var docs []document
	raw = bytes.TrimPrefix(raw, []byte("\uFEFF"))
	for _, part := range splitYAML(raw) {
		source := fmt.Sprintf("%s, line %d", label, part.line)
		asJSON, err := yaml.YAMLToJSONStrict(part.text)
		if err != nil {
			return nil, usage("%s: %s", source, strings.TrimPrefix(strings.TrimPrefix(err.Error(), "error converting YAML to JSON: "), "yaml: "))
		}
		var value any
		if err := json.Unmarshal(asJSON, &value); err != nil {
			return nil, usage("%s: %v", source, err)
		}
		values := []any{value}
		switch v := value.(type) {
		case nil:
			continue // an empty document, or comments only
		case []any:
			values = v
		case map[string]any:
			if items, ok := v["items"].([]any); ok && (v["kind"] == nil || v["kind"] == "List") {
				values = items
			}
		}
		for i, v := range values {
			at := source
			if len(values) > 1 {
				at = fmt.Sprintf("%s, item %d", source, i+1)
			}
			d, err := parseDocument(at, v, kinds)
			if err != nil {
				return nil, err
			}
			docs = append(docs, d)
		}
	}
	return docs, nil
}

type yamlPart struct {
	line int // of its first line with content, from 1
	text []byte
}

// splitYAML cuts at the document markers, which stand at the beginning of a line and nowhere else in YAML.
func splitYAML(raw []byte) []yamlPart {
	var parts []yamlPart
	current := yamlPart{line: 1}
	number := 0
	for line := range bytes.Lines(raw) {
		number++
		trimmed := bytes.TrimRight(line, " \t\r\n")
		if bytes.Equal(trimmed, []byte("---")) || bytes.HasPrefix(line, []byte("--- ")) {
			parts = append(parts, current)
			current = yamlPart{line: number, text: bytes.TrimPrefix(line, []byte("---"))}
			continue
		}
		if len(bytes.TrimSpace(current.text)) == 0 && len(trimmed) > 0 {
			current.line = number
		}
		current.text = append(current.text, line...)
	}
	return append(parts, current)
}

func parseDocument(source string, value any, kinds []*kind) (document, error) {
	m, ok := value.(map[string]any)
	if !ok {
		return document{}, usage("%s: expected an object with kind and name", source)
	}
	if v, ok := m["apiVersion"]; ok && v != apiVersion {
		return document{}, usage("%s: apiVersion %v is not known here; this smbgw reads %s", source, v, apiVersion)
	}
	kindName, _ := m["kind"].(string)
	i := slices.IndexFunc(kinds, func(k *kind) bool { return k.name == kindName })
	if i < 0 {
		return document{}, usage("%s: kind %q is not one of %s", source, kindName, kindNames(kinds))
	}
	d := document{kind: kinds[i], fields: map[string]any{}, source: source}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if name == "apiVersion" || name == "kind" {
			continue
		}
		f := d.kind.field(name)
		if f == nil {
			return document{}, usage("%s: %s has no field %q; possible: %s", source, kindName, name, d.kind.fieldNames())
		}
		v, ok := f.take(m[name])
		if !ok {
			return document{}, usage("%s: %s must be %s (put texts such as \"no\" or \"123\" in quotes)", source, name, f.typ)
		}
		d.fields[name] = v
	}
	if d.name() == "" {
		return document{}, usage("%s: the name is missing", source)
	}
	return d, nil
}

// take returns v in the form in which fields are compared; null is the empty value.
func (f *field) take(v any) (any, bool) {
	switch f.typ {
	case textField:
		if v == nil {
			return "", true
		}
		s, ok := v.(string)
		return s, ok
	case boolField:
		b, ok := v.(bool)
		return b, ok
	case listField:
		list, ok := v.([]any)
		out := make([]any, 0, len(list))
		for _, item := range list {
			s, isText := item.(string)
			if ok = ok && isText; ok {
				out = append(out, s)
			}
		}
		return out, ok || v == nil
	default:
		m, ok := v.(map[string]any)
		out := make(map[string]any, len(m))
		for key, item := range m {
			s, isText := item.(string)
			if ok = ok && isText; ok {
				out[key] = s
			}
		}
		return out, ok || v == nil
	}
}

// same reports whether two values of the field mean the same to the server.
func (f *field) same(a, b any) bool {
	switch {
	case f.typ == listField:
		return slices.Equal(sortedTexts(a), sortedTexts(b))
	case f.name == "path":
		return cleanPath(a) == cleanPath(b)
	case f.name == "name":
		return norm.NFC.String(fmt.Sprint(a)) == norm.NFC.String(fmt.Sprint(b))
	}
	return reflect.DeepEqual(a, b)
}

func cleanPath(v any) string {
	s, _ := v.(string)
	if path.IsAbs(s) && !slices.Contains(strings.Split(s, "/"), "..") {
		return path.Clean(s)
	}
	return s
}

func sortedTexts(v any) []string {
	list, _ := v.([]any)
	out := make([]string, 0, len(list))
	for _, item := range list {
		out = append(out, fmt.Sprint(item))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// patchTo returns the JSON merge patch that turns have into want, both by field; nil if there is nothing to change.
func (k *kind) patchTo(have, want map[string]any) map[string]any {
	var patch map[string]any
	for _, f := range k.fields {
		v, said := want[f.name]
		if !said || f.secret || f.same(have[f.name], v) || f.name == "node" && v == have["nodeUID"] {
			continue
		}
		if f.typ == mapField {
			v = mergeMap(have[f.name], v)
		}
		if patch == nil {
			patch = map[string]any{}
		}
		patch[f.name] = v
	}
	return patch
}

// mergeMap returns the patch that replaces a map as a whole: keys that are no longer there become null.
func mergeMap(have, want any) map[string]any {
	out := map[string]any{}
	old, _ := have.(map[string]any)
	for key := range old {
		out[key] = nil
	}
	now, _ := want.(map[string]any)
	maps.Copy(out, now)
	return out
}

// write returns the fields as a YAML document, in the kind's order.
func (k *kind) write(fields map[string]any) ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "apiVersion: %s\nkind: %s\n", apiVersion, k.name)
	for _, f := range k.fields {
		v, ok := fields[f.name]
		if !ok || f.secret {
			continue
		}
		raw, err := yaml.Marshal(map[string]any{f.name: v})
		if err != nil {
			return nil, err
		}
		b.Write(raw)
	}
	return b.Bytes(), nil
}
