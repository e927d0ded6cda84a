package ctl

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"github.com/pve-smb-gateway/smbgw/client"
	"github.com/spf13/cobra"
	"pgregory.net/rapid"
)

func TestSplitYAMLKnowsItsLines(t *testing.T) {
	docs, err := parseDocuments("f", []byte("\uFEFF# first\n\nkind: User\nname: a\n---\n--- # second\n\n{kind: Group, name: b}\n---\nkind: User\nfullName: |\n  ---\n  text\nname: c\r\n"), declarable()...)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range docs {
		got = append(got, d.kind.name+" "+d.name()+" "+d.source)
	}
	if diff := cmp.Diff([]string{"User a f, line 1", "Group b f, line 6", "User c f, line 10"}, got); diff != "" {
		t.Error(diff)
	}
	if docs[2].fields["fullName"] != "---\ntext\n" {
		t.Errorf("a marker inside a text was cut at: %q", docs[2].fields["fullName"])
	}
}

func TestPatchTo(t *testing.T) {
	have := map[string]any{"name": "docs", "node": "n1", "nodeUID": "uid-1", "path": "/srv/docs", "comment": "", "readOnly": false,
		"validUsers": []any{"alice", "@staff"}, "parameters": map[string]any{"a": "1", "b": "2"}}
	for _, tt := range []struct {
		name string
		doc  string
		want map[string]any
	}{
		{"nothing said", "name: docs", nil},
		{"the same in other words", `{name: docs, node: uid-1, path: /srv//docs/, validUsers: ["@staff", alice], comment: null, parameters: {b: "2", a: "1"}}`, nil},
		{"a list is a set", `{name: docs, validUsers: [alice, alice, "@staff"]}`, nil},
		{"emptied", `{name: docs, validUsers: [], parameters: {}}`, map[string]any{"validUsers": []any{}, "parameters": map[string]any{"a": nil, "b": nil}}},
		{"a parameter more, one less", `{name: docs, parameters: {a: "1", c: "3"}}`, map[string]any{"parameters": map[string]any{"a": "1", "b": nil, "c": "3"}}},
		{"other case is another name", `{name: Docs, readOnly: true}`, map[string]any{"name": "Docs", "readOnly": true}},
		{"another node", `{name: docs, node: n2}`, map[string]any{"node": "n2"}},
	} {
		docs, err := parseDocuments("f", []byte("kind: Share\n---\n")[:0], declarable()...)
		if err != nil || len(docs) != 0 {
			t.Fatal(docs, err)
		}
		text := "kind: Share\n" + tt.doc
		if strings.HasPrefix(tt.doc, "{") {
			text = "{kind: Share, " + tt.doc[1:]
		}
		docs, err = parseDocuments("f", []byte(text), declarable()...)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if diff := cmp.Diff(tt.want, shareKind.patchTo(have, docs[0].fields)); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}

// What export and edit write is read back as the same, whatever the texts hold.
func TestDocumentsRoundTrip(t *testing.T) {
	// The server takes no control characters, and YAML has no way to write some.
	texts := rapid.StringOf(rapid.RuneFrom([]rune("-:#'\"{}[]&*!|>%@` \n\tnoyes0123.~"), unicode.L, unicode.M, unicode.N, unicode.P, unicode.S))
	rapid.Check(t, func(t *rapid.T) {
		s := client.Share{Name: "n" + texts.Draw(t, "name"), NodeName: texts.Draw(t, "node"), Comment: texts.Draw(t, "comment"),
			Path: texts.Draw(t, "path"), ReadOnly: rapid.Bool().Draw(t, "readOnly"), ValidUsers: rapid.SliceOf(texts).Draw(t, "validUsers"),
			Parameters: rapid.MapOf(texts, texts).Draw(t, "parameters")}
		fields, err := shareKind.fieldsOf(s)
		if err != nil {
			t.Fatal(err)
		}
		text, err := shareKind.write(fields)
		if err != nil {
			t.Fatal(err)
		}
		docs, err := parseDocuments("f", text, shareKind)
		if err != nil || len(docs) != 1 {
			t.Fatalf("%v, %d documents of\n%s", err, len(docs), text)
		}
		if patch := shareKind.patchTo(fields, docs[0].fields); patch != nil {
			t.Fatalf("differs by %v:\n%s", patch, text)
		}
	})
}

func FuzzParseDocuments(f *testing.F) {
	f.Add([]byte("kind: User\nname: a\n---\n[{kind: Group, name: b}]"))
	f.Add([]byte("{\"items\":[{\"kind\":\"Share\",\"name\":\"x\",\"parameters\":{\"a\":null}}]}"))
	f.Add([]byte("a: &a [*a]\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		docs, err := parseDocuments("f", raw, declarable()...)
		var use *usageError
		if err != nil && !errors.As(err, &use) {
			t.Errorf("%T %v: a wrong document is a usage error", err, err)
		}
		for _, d := range docs {
			if d.name() == "" || d.kind == nil {
				t.Errorf("%+v", d)
			}
		}
	})
}

// TestEdit lets an "editor" change the text, wrongly first.
func TestEdit(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	script := filepath.Join(dir, "editor")
	body := "#!/bin/sh\n[ \"$1\" = --flag ] || exit 9\nif grep -q '^# ' \"$2\"; then sed -i 's/readOnly: .*/readOnly: true/' \"$2\"; else sed -i 's/readOnly: .*/readOnly: perhaps/' \"$2\"; fi\n"
	if err := os.WriteFile(script, []byte(body), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("VISUAL", script+" --flag")
	cmd := &cobra.Command{}
	cmd.SetContext(context.Background())
	fields, err := shareKind.fieldsOf(client.Share{Name: "docs", NodeName: "n1", Comment: "# not a remark"})
	if err != nil {
		t.Fatal(err)
	}
	text, err := shareKind.write(fields)
	if err != nil {
		t.Fatal(err)
	}
	edited, first, err := runEditor(cmd, "", text)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := patchFromText(shareKind, fields, edited); err == nil {
		t.Fatal("'perhaps' is no truth value")
	}
	edited, second, err := runEditor(cmd, "readOnly must be true or false", edited)
	if err != nil {
		t.Fatal(err)
	}
	patch, err := patchFromText(shareKind, fields, edited)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{"readOnly": true}, patch); diff != "" {
		t.Errorf("%s\n%s", diff, edited)
	}
	for _, f := range []string{first, second} {
		if info, err := os.Stat(f); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", f, info, err)
		}
	}
	if patch, err := patchFromText(shareKind, fields, []byte("# all gone\n")); err != nil || patch != nil {
		t.Errorf("an emptied text gives up: %v, %v", patch, err)
	}
}
