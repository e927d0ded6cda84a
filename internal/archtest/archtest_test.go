// Package archtest keeps the import rules of docs/architecture.md. It has tests only.
package archtest

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/go/packages"
)

const module = "github.com/pve-smb-gateway/smbgw/"

// What a package below internal is; the first path element decides. A new package must be entered here.
var (
	rooms     = []string{"share", "identity", "node", "auth", "audit", "task"}
	protocols = []string{"desired", "reconcile", "link", "samba", "httpapi", "live"}
	platform  = []string{"db", "event", "problem", "object", "clock", "logx", "secret", "pki", "archtest"}
	roots     = []string{"server", "agent", "ctl"}
)

var runners = []string{"samba", "db/dbtest"} // may run programs

type graph map[string][]string // import paths relative to the module, of the module only

func load(t *testing.T) (graph, map[string][]string) {
	t.Helper()
	pkgs, err := packages.Load(&packages.Config{Mode: packages.NeedName | packages.NeedImports, Dir: "../.."}, "./...")
	if err != nil {
		t.Fatal(err)
	}
	g, all := graph{}, map[string][]string{}
	for _, p := range pkgs {
		for _, e := range p.Errors {
			t.Fatal(e)
		}
		name := strings.TrimPrefix(p.PkgPath, module)
		for imp := range maps.Keys(p.Imports) {
			all[name] = append(all[name], imp)
			if own, ok := strings.CutPrefix(imp, module); ok {
				g[name] = append(g[name], own)
			}
		}
		slices.Sort(g[name])
	}
	if len(g) < 10 {
		t.Fatalf("only %d packages found", len(g))
	}
	return g, all
}

// kind returns the layer of a package, and its first path element below internal.
func kind(pkg string) (layer, first string) {
	rest, ok := strings.CutPrefix(pkg, "internal/")
	if !ok {
		return pkg, pkg
	}
	first, _, _ = strings.Cut(rest, "/")
	for layer, list := range map[string][]string{"room": rooms, "protocol": protocols, "platform": platform, "root": roots} {
		if slices.Contains(list, first) {
			return layer, first
		}
	}
	return "", first
}

// path returns a chain of imports from one package to one that fits, or nil.
func (g graph) path(from string, fits func(string) bool) []string {
	seen := map[string]bool{}
	var walk func(p string, chain []string) []string
	walk = func(p string, chain []string) []string {
		if seen[p] {
			return nil
		}
		seen[p] = true
		chain = append(slices.Clone(chain), p)
		if len(chain) > 1 && fits(p) {
			return chain
		}
		for _, imp := range g[p] {
			if found := walk(imp, chain); found != nil {
				return found
			}
		}
		return nil
	}
	return walk(from, nil)
}

func TestImports(t *testing.T) {
	g, all := load(t)
	report := func(rule, from, to string) { t.Errorf("%s must not import %s: %s", from, to, rule) }
	for _, from := range slices.Sorted(maps.Keys(g)) {
		fromLayer, fromFirst := kind(from)
		if fromLayer == "" {
			t.Errorf("%s is in no layer: enter it in archtest", from)
		}
		for _, to := range g[from] {
			toLayer, toFirst := kind(to)
			switch {
			case fromLayer == "platform" && toLayer != "platform":
				report("platform imports platform only", from, to)
			case fromLayer == "protocol" && toLayer != "platform" && toLayer != "protocol" && !strings.HasPrefix(to, "api/"):
				report("protocols import platform and protocols", from, to)
			case fromLayer == "room" && toLayer == "room" && fromFirst != toFirst:
				report("rooms never import rooms; declare the interface you need", from, to)
			case fromLayer == "room" && toLayer == "root":
				report("rooms know no composition root", from, to)
			case toLayer == "room" && fromLayer != "room" && fromFirst != "server":
				report("only server imports rooms", from, to)
			case fromFirst == "ctl" && to != "client" && !strings.HasPrefix(to, "api") && !strings.HasPrefix(to, "internal/ctl"):
				report("the CLI imports client and api only", from, to)
			case from == "client" && !strings.HasPrefix(to, "api") && !strings.HasPrefix(to, "client"):
				report("the client imports api only", from, to)
			}
		}
		if fromFirst == "agent" || fromFirst == "reconcile" || fromFirst == "samba" {
			chain := g.path(from, func(p string) bool {
				layer, first := kind(p)
				return layer == "room" || first == "db" || first == "server"
			})
			if chain != nil {
				t.Errorf("%s must not reach %s: %s", from, chain[len(chain)-1], strings.Join(chain, " -> "))
			}
		}
		if slices.Contains(all[from], "os/exec") && strings.HasPrefix(from, "internal/") &&
			!slices.ContainsFunc(runners, func(r string) bool { return strings.HasPrefix(from, "internal/"+r) }) && fromFirst != "ctl" {
			t.Errorf("%s must not run programs: only %s do", from, strings.Join(runners, ", "))
		}
	}
}

func TestNames(t *testing.T) {
	g, _ := load(t)
	vague := regexp.MustCompile(`(^|/)(util|utils|common|helper|helpers|base|types|models)(/|$)`)
	for p := range g {
		if vague.MatchString(p) {
			t.Errorf("%s: a package is named after what it provides", p)
		}
	}
}

// TestTheRulesBite proves that the test would notice.
func TestTheRulesBite(t *testing.T) {
	g := graph{"internal/agent": {"internal/link"}, "internal/link": {"internal/x"}, "internal/x": {"internal/share"}}
	chain := g.path("internal/agent", func(p string) bool { layer, _ := kind(p); return layer == "room" })
	if fmt.Sprint(chain) != "[internal/agent internal/link internal/x internal/share]" {
		t.Errorf("the chain to the room: %v", chain)
	}
}
