package ctl

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/pve-smb-gateway/smbgw/client"
	"github.com/spf13/cobra"
)

// tokenLife is how long a login of the command line lasts.
const tokenLife = 90 * 24 * time.Hour

// loginFlags of the command login.
type loginFlags struct {
	name          string
	user          string
	passwordStdin bool
	tokenStdin    bool
	setup         bool
}

func (a *app) loginCommand() *cobra.Command {
	var l loginFlags
	cmd := &cobra.Command{
		Use: "login [SERVER]", Short: "Log in to a server and save it as a context",
		Long: "Logs in with a console account, makes an API token for this machine, and saves it (mode 0600) with the server's fingerprint.\n" +
			"The server prints its fingerprint when it starts; without --fingerprint you are asked to compare it.",
		Example: "  smbgw login https://gateway:8443 --setup --user admin    # the first time, with the code that the server printed\n  smbgw login https://gateway:8443 --fingerprint SHA256:…\n  smbgw login https://gateway:8443 --token-stdin < token",
		Args:    cobra.MaximumNArgs(1), ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s := saved{Server: a.server}
		if len(args) == 1 {
			s.Server = args[0]
		}
		if s.Server == "" {
			known, err := a.target()
			if err != nil {
				return err
			}
			s.Server, s.Fingerprint, s.CAFile = known.Server, known.Fingerprint, known.CAFile
		}
		if a.fingerprint != "" {
			s.Fingerprint = a.fingerprint
		}
		if a.caFile != "" {
			s.CAFile = a.caFile
		}
		return a.login(cmd, s, l)
	}
	f := cmd.Flags()
	f.StringVar(&l.name, "name", "", "name of the context (default: the server's host)")
	f.StringVar(&l.user, "user", "", "console account")
	f.BoolVar(&l.passwordStdin, "password-stdin", false, "read the password from standard input")
	f.BoolVar(&l.tokenStdin, "token-stdin", false, "read an API token from standard input, in place of logging in")
	f.BoolVar(&l.setup, "setup", false, "first make the account, as the first administrator (with --password-stdin: two lines, set-up code and password)")
	cmd.MarkFlagsMutuallyExclusive("password-stdin", "token-stdin")
	cmd.MarkFlagsMutuallyExclusive("setup", "token-stdin")
	return cmd
}

func (a *app) login(cmd *cobra.Command, s saved, l loginFlags) error {
	p := a.printer(cmd)
	ctx, cancel := a.limit(cmd, waitTime)
	defer cancel()
	if err := trust(ctx, cmd, &s); err != nil {
		return err
	}
	if l.tokenStdin {
		token, err := secret(cmd, "token", "--token-stdin", true, false)
		if err != nil {
			return err
		}
		s.Token = token
	}
	c, err := a.clientFor(s)
	if err != nil {
		return err
	}
	if !l.tokenStdin {
		if s.Token, err = a.tokenByLogin(ctx, cmd, c, l); err != nil {
			return err
		}
		if c, err = a.clientFor(s); err != nil {
			return err
		}
	}
	me, err := c.Me(ctx)
	if err != nil {
		return err
	}
	s.Server = c.Server()
	if l.name == "" {
		u, err := url.Parse(s.Server)
		if err != nil {
			return err
		}
		l.name = u.Host
	}
	cs, err := loadContexts()
	if err != nil {
		return err
	}
	cs.Contexts[l.name], cs.Current = s, l.name
	if err := cs.save(); err != nil {
		return err
	}
	p.notef("Logged in to %s as %s. Saved as the context %s.\n", s.Server, clean(me.Name), clean(l.name))
	if p.json {
		return p.object(map[string]any{"context": l.name, "server": s.Server, "identity": me})
	}
	return nil
}

func (a *app) clientFor(s saved) (*client.Client, error) {
	c, err := client.New(client.Options{Server: s.Server, Fingerprint: s.Fingerprint, CAFile: s.CAFile, Token: s.Token, UserAgent: "smbgw/" + a.version})
	if err != nil {
		return nil, &usageError{text: err.Error()}
	}
	return c, nil
}

// trust makes sure that the server's CA is known: pinned, in a file, among the system's, or compared by the person.
func trust(ctx context.Context, cmd *cobra.Command, s *saved) error {
	if s.Fingerprint != "" || s.CAFile != "" {
		return nil
	}
	fingerprint, known, err := client.ServerFingerprint(ctx, s.Server)
	if err != nil || known {
		return err
	}
	in, ok := terminal(cmd)
	if !ok {
		return usage("the CA of %s is not known here; pass --fingerprint with what the server prints at its start", s.Server)
	}
	answer, err := ask(cmd.ErrOrStderr(), in, fmt.Sprintf("The CA of %s has the fingerprint\n  %s\nIs this what the server printed at its start? [y/N] ", s.Server, fingerprint))
	if err != nil {
		return err
	}
	if answer != "y" && answer != "yes" {
		return errDeclined
	}
	s.Fingerprint = fingerprint
	return nil
}

// tokenByLogin logs in with name and password, makes a token for this machine, and logs out again.
func (a *app) tokenByLogin(ctx context.Context, cmd *cobra.Command, c *client.Client, l loginFlags) (string, error) {
	if l.user == "" {
		in, ok := terminal(cmd)
		if !ok {
			return "", usage("pass the account with --user, as there is no terminal to ask on")
		}
		var err error
		if l.user, err = ask(cmd.ErrOrStderr(), in, "Account: "); err != nil {
			return "", err
		}
	}
	if err := open(ctx, cmd, c, l); err != nil {
		return "", err
	}
	me, err := c.Me(ctx)
	if err != nil {
		return "", err
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	expires := time.Now().Add(tokenLife).UTC().Truncate(time.Second)
	name := fmt.Sprintf("cli-%.40s-%s", host, time.Now().UTC().Format("20060102T150405.000Z"))
	t, err := c.Tokens().Create(ctx, client.TokenSpec{Name: name, Privileges: me.Privileges, ExpiresAt: &expires})
	if err != nil {
		return "", err
	}
	return t.Secret, c.Logout(ctx)
}

// open logs in, or makes the first administrator.
func open(ctx context.Context, cmd *cobra.Command, c *client.Client, l loginFlags) error {
	if !l.setup {
		password, err := secret(cmd, "password", "--password-stdin", l.passwordStdin, false)
		if err != nil {
			return err
		}
		return c.Login(ctx, l.user, password)
	}
	if l.passwordStdin {
		both, err := secret(cmd, "set-up code and password", "--password-stdin", true, false)
		if err != nil {
			return err
		}
		code, password, ok := strings.Cut(both, "\n")
		if !ok {
			return usage("standard input must hold two lines: the set-up code and the password")
		}
		return c.Setup(ctx, strings.TrimSpace(code), l.user, password)
	}
	code, err := secret(cmd, "set-up code", "--password-stdin", false, false)
	if err != nil {
		return err
	}
	password, err := secret(cmd, "new password", "--password-stdin", false, true)
	if err != nil {
		return err
	}
	return c.Setup(ctx, strings.TrimSpace(code), l.user, password)
}
