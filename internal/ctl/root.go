package ctl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/pve-smb-gateway/smbgw/client"
	"github.com/spf13/cobra"
)

// Groups of commands in the help. Commands that cmd/smbgw adds go into [GroupRun].
const (
	GroupRun     = "run"
	groupNouns   = "nouns"
	groupDeclare = "declare"
	groupConnect = "connect"
)

// app is what the commands of one root share: the global flags, and the client made from them.
type app struct {
	version string

	context     string
	server      string
	fingerprint string
	caFile      string
	dir         string
	json        bool
	noColor     bool
	timeout     time.Duration
}

// Root returns the command smbgw with all verbs that speak to a server.
func Root(version string) *cobra.Command {
	a := &app{version: version}
	root := &cobra.Command{
		Use:   "smbgw",
		Short: "SMB shares on real Samba, for Proxmox VE",
		Long: "smbgw creates and runs SMB shares on real Samba. A share is Ready when a real SMB client has just used it.\n\n" +
			"Beside a running 'smbgw up' the commands below work at once. For another server, run 'smbgw login' first.",
		Example: "  smbgw user create alice\n" +
			"  smbgw share create projects --valid-users alice --wait\n" +
			"  smbgw apply -f shares.yaml --dry-run",
		Version:           version,
		SilenceUsage:      true,
		SilenceErrors:     true,
		Args:              cobra.ArbitraryArgs,
		RunE:              helpOr("command"),
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: false},
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage("%v", err) })
	f := root.PersistentFlags()
	f.StringVar(&a.context, "context", "", "saved server to use (see 'smbgw context list')")
	f.StringVar(&a.server, "server", "", "address of the server, such as https://gateway:8443")
	f.StringVar(&a.fingerprint, "fingerprint", "", "fingerprint of the server's CA, SHA256:…")
	f.StringVar(&a.caFile, "ca-file", "", "PEM file with the CA to trust, in place of a fingerprint")
	f.StringVar(&a.dir, "dir", "", "data directory of an 'smbgw up' on this machine ($SMBGW_DIR; default ./var, then /var/lib/smbgw)")
	f.BoolVar(&a.json, "json", false, "print JSON, and errors as problem JSON on standard error")
	f.BoolVar(&a.noColor, "no-color", false, "no colours (also $NO_COLOR)")
	f.DurationVar(&a.timeout, "timeout", 0, "give up after this time (default 1m; with --wait 10m)")
	_ = root.RegisterFlagCompletionFunc("context", a.completeContexts) // fails only for unknown flags
	root.AddGroup(
		&cobra.Group{ID: groupNouns, Title: "Manage:"},
		&cobra.Group{ID: groupDeclare, Title: "Declare:"},
		&cobra.Group{ID: groupConnect, Title: "Connect:"},
		&cobra.Group{ID: GroupRun, Title: "Run:"},
	)
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add(groupNouns, a.shareCommand(), a.userCommand(), a.groupCommand(), a.nodeCommand(), a.taskCommand(), a.auditCommand(), a.accountCommand(), a.tokenCommand())
	add(groupDeclare, a.applyCommand(), a.diffCommand(), a.exportCommand())
	add(groupConnect, a.statusCommand(), a.loginCommand(), a.contextCommand())
	root.AddCommand(a.versionCommand(), manCommand(root), docsCommand(root))
	return root
}

// Execute runs root with the arguments of the process, or those set by root.SetArgs, prints an error to standard error,
// and returns the exit code.
func Execute(ctx context.Context, root *cobra.Command) int {
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	if strings.HasPrefix(err.Error(), "unknown command") || strings.HasPrefix(err.Error(), "required flag") ||
		strings.HasPrefix(err.Error(), "if any flags in the group") || strings.HasPrefix(err.Error(), "at least one of the flags") {
		err = &usageError{text: err.Error()}
	}
	asJSON, _ := root.PersistentFlags().GetBool("json") // false if it could not be parsed
	writeError(root.ErrOrStderr(), cmd, err, asJSON)
	return exitCode(err)
}

// helpOr prints the help of a command that only has subcommands, and refuses words that are none.
func helpOr(what string) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		text := fmt.Sprintf("there is no %s %q", what, args[0])
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			text += "; did you mean " + strings.Join(near, " or ") + "?"
		}
		return usage("%s", text)
	}
}

// args checks the number of arguments, naming what they are.
func args(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, got []string) error {
		if len(got) == len(names) {
			return nil
		}
		if len(names) == 0 {
			return usage("%s takes no arguments, but got %q", cmd.CommandPath(), got[0])
		}
		if len(got) < len(names) {
			return usage("%s: %s is missing", cmd.CommandPath(), names[len(got)])
		}
		return usage("%s: %q is one argument too many", cmd.CommandPath(), got[len(names)])
	}
}

// atLeastOne demands one or more arguments.
func atLeastOne(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, got []string) error {
		if len(got) == 0 {
			return usage("%s: %s is missing", cmd.CommandPath(), name)
		}
		return nil
	}
}

// limit returns a context that ends after --timeout, or after def.
func (a *app) limit(cmd *cobra.Command, def time.Duration) (context.Context, context.CancelFunc) {
	d := def
	if a.timeout > 0 {
		d = a.timeout
	}
	return context.WithTimeout(cmd.Context(), d)
}

const (
	shortTime = time.Minute
	waitTime  = 10 * time.Minute
)

// with runs do with a client and a deadline.
func (a *app) with(def time.Duration, do func(ctx context.Context, c *client.Client, p *printer, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		ctx, cancel := a.limit(cmd, def)
		defer cancel()
		return do(ctx, c, a.printer(cmd), args)
	}
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Show the version of this program and of the server", Args: args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			p := a.printer(cmd)
			ctx, cancel := a.limit(cmd, 10*time.Second)
			defer cancel()
			out := struct {
				Client string `json:"client"`
				Server string `json:"server,omitempty"`
				Error  string `json:"error,omitempty"`
			}{Client: a.version}
			c, err := a.client()
			if err == nil {
				var v client.Version
				v, err = c.Version(ctx)
				out.Server = v.Version
			}
			if err != nil {
				out.Error = err.Error()
			}
			if p.json {
				return p.object(out)
			}
			p.printf("client %s\n", out.Client)
			if out.Error != "" {
				p.notef("server unknown: %s\n", out.Error)
				return nil
			}
			p.printf("server %s (%s)\n", clean(out.Server), c.Server())
			return nil
		},
	}
}

// readAll reads standard input, at most 16 MiB.
func readAll(r io.Reader) ([]byte, error) {
	const most = 16 << 20
	raw, err := io.ReadAll(io.LimitReader(r, most+1))
	if err == nil && len(raw) > most {
		err = errors.New("the input is larger than 16 MiB")
	}
	return raw, err
}

// readFile reads a file, or standard input for "-".
func readFile(cmd *cobra.Command, name string) ([]byte, error) {
	if name == "-" {
		return readAll(cmd.InOrStdin())
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, &usageError{text: err.Error()}
	}
	defer func() { _ = f.Close() }()
	return readAll(f)
}
