package smbdproc

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What other programs write into /proc and into logs may hold anything, names of processes above all.

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("123 (smbd) S 1 2 2 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 4711 1 1"))
	f.Add([]byte("123 (a) Z 9) (b) S 1 2 2 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 4711 1 1"))
	f.Add([]byte("123 (smbd) Z 1"))
	f.Add([]byte(")"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, ok := parseStat(b); ok && p.program != "" {
			t.Errorf("%+v", p)
		}
	})
}

func TestParseStat(t *testing.T) {
	p, ok := parseStat([]byte("123 (a) Z 9) (b) S 1 2 2 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 4711 1 1"))
	if !ok || p.parent != 1 || p.started != 4711 {
		t.Errorf("%+v %v", p, ok)
	}
	if _, ok := parseStat([]byte("123 (smbd) Z 1 2 2 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 4711 1 1")); ok {
		t.Error("a zombie lives")
	}
}

func FuzzParseListeners(f *testing.F) {
	f.Add("   0: 0100007F:01BD 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1", 445)
	f.Fuzz(func(t *testing.T, table string, port int) {
		out := map[string]bool{}
		parseListeners(table, port, out)
		for s := range out {
			if !strings.HasPrefix(s, "socket:[") {
				t.Errorf("%q", s)
			}
		}
	})
}

func FuzzLastLines(f *testing.F) {
	f.Add([]byte("[2026/11/23 07:03:48,  0] source.c:1(main)\n  first\n  last\n"), int64(0))
	f.Fuzz(func(t *testing.T, b []byte, from int64) {
		file := filepath.Join(t.TempDir(), "log")
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := lastLines(file, max(0, from)); len(got) > 400+3*3 || strings.Contains(got, "\n") {
			t.Errorf("%q", got)
		}
	})
}
