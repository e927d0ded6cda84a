package script

import (
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// exits runs a command through testscript's exec and checks the code that exec reports.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if err != nil {
		text, ok := strings.CutPrefix(err.Error(), "exit status ")
		if got, err = strconv.Atoi(text); !ok || err != nil {
			ts.Fatalf("%s did not run: %s", args[1], text)
		}
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}
