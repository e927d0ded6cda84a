package ctl

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"
)

// manCommand writes the man pages of the whole program, for packages.
func manCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use: "man DIR", Short: "Write man pages into a directory", Hidden: true, Args: args("DIR"),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return err
			}
			root.DisableAutoGenTag = true
			return doc.GenManTree(root, &doc.GenManHeader{Title: "SMBGW", Section: "1", Source: "PVE SMB Gateway", Manual: "PVE SMB Gateway"}, args[0])
		},
	}
}

//go:generate go run ../../cmd/smbgw docs ../../docs/cli.md

// docsCommand writes docs/cli.md.
func docsCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use: "docs FILE", Short: "Write the description of the command line as Markdown", Hidden: true, Args: args("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			var b strings.Builder
			writeManual(&b, root)
			return os.WriteFile(args[0], []byte(b.String()), 0o644)
		},
	}
}

const manualHead = `<!-- Written by "smbgw docs docs/cli.md" from the commands themselves; do not edit. -->
# Command line

Everything below speaks to a server through REST v2 and nothing else. The roles ` + "`server`, `agent` and `up`" + ` are in the README.

## Which server
The first of these that is there counts: ` + "`--server`, `--context`, `--dir`, `$SMBGW_SERVER`, `$SMBGW_CONTEXT`" + `, the current context
(` + "`smbgw login`" + ` makes one), and last an ` + "`smbgw up`" + ` on this machine, by the file ` + "`server/cli.json`" + ` in its data directory (` + "`./var`" + `, then
` + "`/var/lib/smbgw`; `$SMBGW_DIR`" + ` names another). ` + "`$SMBGW_TOKEN` and `$SMBGW_FINGERPRINT`" + ` replace what is saved. Contexts and tokens are in
` + "`~/.config/smbgw/contexts.json`" + `, mode 0600 (` + "`$SMBGW_CONFIG`" + ` names another file).

A server is trusted by the fingerprint of its CA, from the first connection on. Passwords and tokens are read by a prompt or from
standard input, never from the command line, which everyone on the machine can read.

## For scripts
Standard output holds the answer, standard error the rest. ` + "`--json`" + ` prints objects as the API has them; errors are then one line of
problem JSON on standard error, whose ` + "`code`" + ` is stable. Lists are ` + "`{\"items\": […], \"total\": n}`" + `. Verbs that take something away ask on a
terminal and need ` + "`--yes`" + ` elsewhere.

`

const manualDocuments = `## Documents
` + "`apply`, `diff`, `export` and `edit`" + ` use the same form: flat objects in YAML (several, separated by ` + "`---`" + `) or JSON (one, an array, or
` + "`{\"items\": […]}`" + `). ` + "`kind` and `name`" + ` are needed; ` + "`apiVersion`" + ` may be left out. **What a document leaves out stays as it is on the server**,
or takes the default when the object is created; write an empty value to empty a field.

` + "```yaml" + `
apiVersion: smbgw/v2
kind: User
name: alice
fullName: Alice Smith
---
kind: Group
name: staff
members: [alice]
---
kind: Share
name: projects
comment: Shared work
validUsers: ["@staff"]
` + "```" + `

`

// writeManual writes the whole description.
func writeManual(w io.Writer, root *cobra.Command) {
	put := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) } // into memory
	put("%s", manualHead)
	put("## Exit codes\n| Code | Meaning | Problem codes |\n|---|---|---|\n")
	for _, e := range exitMeanings {
		put("| %d | %s | %s |\n", e.code, e.meaning, e.codes)
	}
	put("\n%s", manualDocuments)
	for _, k := range declarable() {
		put("| %s | holds | meaning |\n|---|---|---|\n", k.name)
		for _, f := range k.fields {
			put("| `%s` | %s | %s |\n", f.name, f.typ, f.doc)
		}
		put("\n")
	}
	put("## Flags of every command\n```\n%s```\n\n## Commands\n", root.PersistentFlags().FlagUsages())
	for _, c := range root.Commands() {
		if c.GroupID != GroupRun {
			writeCommand(put, c)
		}
	}
}

func writeCommand(put func(string, ...any), c *cobra.Command) {
	if c.Hidden || c.Name() == "help" || c.Name() == "completion" {
		return
	}
	if !c.HasSubCommands() {
		text := c.Short + "."
		if c.Long != "" {
			text = c.Long
		}
		put("### %s\n%s\n", c.UseLine(), text)
		if flags := c.LocalNonPersistentFlags(); hasFlags(flags) {
			put("```\n%s```\n", flags.FlagUsages())
		}
		if c.Example != "" {
			put("Examples:\n```\n%s\n```\n", c.Example)
		}
		put("\n")
	}
	for _, sub := range c.Commands() {
		writeCommand(put, sub)
	}
}

func hasFlags(f *pflag.FlagSet) bool {
	found := false
	f.VisitAll(func(flag *pflag.Flag) { found = found || !flag.Hidden && flag.Name != "help" })
	return found
}
