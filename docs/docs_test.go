// Package docs holds the documentation, and tests that keep it in step with the code.
package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Pages with a table whose first column holds codes in backquotes.
const (
	codePage  = "users/troubleshooting.md" // condition reasons and problem codes
	eventPage = "users/automation.md"      // types of events
)

var (
	whole = regexp.MustCompile(`^(account|agent|audit|auth|cli|enrolment|group|link|node|probe|request|server|session|share|smbd|snapshot|task|token|user)\.[a-z_]+$`)
	part  = regexp.MustCompile(`^\.[a-z_]+$`)
	first = regexp.MustCompile("(?m)^\\| ((?:`[a-z_.]+`(?:, )?)+) \\|")
	quote = regexp.MustCompile("`([a-z_.]+)`")
)

// What looks like a code and is none.
var noCode = map[string]string{
	"server.pem": "a file", "identity.json": "a file", "cli.json": "a file", "snapshot.json": "a file",
	"smbd.out": "a file", "smbd.pid": "a file", "user.import": "a kind of task",
}

// kinds says what goes before a code that is made as kind + ".suffix", by the directory that makes it.
var kinds = map[string][]string{
	"internal/identity":  {"user", "group"},
	"internal/reconcile": {"user", "group"},
	"internal/agent":     {"share", "user", "group"},
	"internal/problem":   {"account", "enrolment", "group", "node", "session", "share", "task", "token", "user"},
}

// TestCodes holds the tables against the source: each code and event type is in a table, and each that is there exists.
func TestCodes(t *testing.T) {
	source := codesInSource(t)
	if len(source) < 100 {
		t.Fatalf("only %d codes found in the source", len(source))
	}
	tables := map[string]bool{}
	for _, page := range []string{codePage, eventPage} {
		in := codesOfPage(t, page)
		if len(in) < 10 {
			t.Errorf("only %d codes found in %s", len(in), page)
		}
		for code := range in {
			if tables[code] = true; source[code] == "" {
				t.Errorf("%s: %s is nowhere in the source", page, code)
			}
		}
	}
	for _, code := range slices.Sorted(maps.Keys(source)) {
		if !tables[code] {
			t.Errorf("%s: %s is neither in the table of codes (%s) nor in that of events (%s)", source[code], code, codePage, eventPage)
		}
	}
}

// codesInSource returns all codes with the place of one use.
func codesInSource(t *testing.T) map[string]string {
	t.Helper()
	codes := map[string]string{}
	set := token.NewFileSet()
	err := filepath.WalkDir("../internal", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") ||
			strings.Contains(path, "/sambatest/") || strings.Contains(path, "/linktest/") {
			return err
		}
		file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		dir := strings.TrimPrefix(filepath.Dir(path), "../")
		add := func(code string, n ast.Node) { codes[code] = set.Position(n.Pos()).String() }
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BasicLit:
				if s, ok := text(n); ok && whole.MatchString(s) && noCode[s] == "" {
					add(s, n)
				}
			case *ast.BinaryExpr:
				if s, ok := text(n.Y); ok && n.Op == token.ADD && part.MatchString(s) {
					suffixed(dir, s, n, add)
				}
			case *ast.ValueSpec:
				for i, name := range n.Names {
					if i >= len(n.Values) || !strings.HasPrefix(name.Name, "code") {
						continue
					}
					if s, ok := text(n.Values[i]); ok && part.MatchString(s) {
						suffixed(dir, s, n, add)
					}
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return codes
}

// suffixed adds the codes kind + suffix. Directories that are not in kinds join other things than codes.
func suffixed(dir, suffix string, n ast.Node, add func(string, ast.Node)) {
	for _, kind := range kinds[dir] {
		add(kind+suffix, n)
	}
}

func text(n ast.Node) (string, bool) {
	lit, ok := n.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	s, err := strconv.Unquote(lit.Value)
	return s, err == nil
}

func codesOfPage(t *testing.T, page string) map[string]bool {
	t.Helper()
	raw, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	codes := map[string]bool{}
	for _, row := range first.FindAllSubmatch(raw, -1) {
		for _, code := range quote.FindAllSubmatch(row[1], -1) {
			codes[string(code[1])] = true
		}
	}
	return codes
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ +(.*)$`)
	fence   = regexp.MustCompile("(?s)```.*?```")
)

// TestLinks follows every relative link, and asks that every page of docs/ can be reached from docs/README.md.
func TestLinks(t *testing.T) {
	seen := map[string]bool{}
	var follow func(page string)
	follow = func(page string) {
		if seen[page] {
			return
		}
		seen[page] = true
		raw, err := os.ReadFile(page)
		if err != nil {
			t.Error(err)
			return
		}
		for _, m := range link.FindAllStringSubmatch(fence.ReplaceAllString(string(raw), ""), -1) {
			u, err := url.Parse(m[1])
			if err != nil || u.Scheme != "" || u.Host != "" {
				continue
			}
			target := page
			if u.Path != "" {
				target = strings.TrimPrefix(filepath.Join(filepath.Dir(page), u.Path), "../docs/")
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: link to %s, which is not there", page, m[1])
				continue
			}
			if !strings.HasSuffix(target, ".md") {
				continue
			}
			if u.Fragment != "" && !anchors(t, target)[u.Fragment] {
				t.Errorf("%s: link to %s, which has no such heading", page, m[1])
			}
			follow(target)
		}
	}
	follow("README.md")
	for _, page := range []string{"README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"} {
		follow("../" + page)
	}
	err := filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".md") && !seen[path] {
			t.Errorf("%s cannot be reached from docs/README.md", path)
			follow(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// anchors returns the names that a page's headings have on the web.
func anchors(t *testing.T, page string) map[string]bool {
	t.Helper()
	raw, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(fence.ReplaceAllString(string(raw), ""), -1) {
		name := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r > 127:
				return r
			}
			return -1
		}, strings.ToLower(m[1]))
		out[name] = true
	}
	return out
}

// TestNamedTests asks that every test that a page names exists.
func TestNamedTests(t *testing.T) {
	exist := map[string]bool{}
	for _, root := range []string{"../internal", "../test", "../client", "."} {
		each(t, root, "_test.go", func(_, content string) {
			for _, m := range testFunc.FindAllStringSubmatch(content, -1) {
				exist[m[1]] = true
			}
		})
	}
	each(t, ".", ".md", func(path, content string) {
		for _, name := range testName.FindAllString(content, -1) {
			if !exist[name] {
				t.Errorf("%s: there is no %s", path, name)
			}
		}
	})
}

var (
	testFunc = regexp.MustCompile(`(?m)^func (Test[A-Za-z0-9]+)\(`)
	testName = regexp.MustCompile(`\bTest[A-Z][A-Za-z0-9]+`)
)

// each calls fn for the files below root whose names end in suffix.
func each(t *testing.T, root, suffix string, fn func(path, content string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, suffix) {
			return err
		}
		raw, err := os.ReadFile(path)
		if err == nil {
			fn(path, string(raw))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
