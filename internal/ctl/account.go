package ctl

import (
	"context"

	"github.com/pve-smb-gateway/smbgw/client"
	"github.com/spf13/cobra"
)

func (a *app) accountCommand() *cobra.Command {
	n := &noun[client.AccountSpec, client.Account]{
		app: a, kind: "account", plural: "accounts", in: (*client.Client).Accounts,
		header: []string{"NAME", "ROLE", "STATE", "LAST LOGIN"},
		row: func(o client.Account) []cell {
			state := cell{"enabled", good}
			if o.Disabled {
				state = cell{"disabled", busy}
			}
			return []cell{text(o.Name), text(o.Role), state, text(agoPointer(o.LastLoginAt))}
		},
		meta: func(o client.Account) client.Meta { return o.Meta },
		name: func(o client.Account) string { return o.Name },
	}
	return n.command("Accounts: people who manage the gateway", n.list(), n.get(), a.accountCreate(n), a.accountEdit(n),
		n.remove("Their sessions and tokens end.", false, nil))
}

var roles = cobra.FixedCompletions([]string{"administrator", "auditor"}, cobra.ShellCompDirectiveNoFileComp)

func (a *app) accountCreate(n *noun[client.AccountSpec, client.Account]) *cobra.Command {
	var role string
	var stdin bool
	cmd := &cobra.Command{Use: "create NAME", Short: "Create an account; asks for the password", Args: args("NAME"), ValidArgsFunction: cobra.NoFileCompletions}
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		password, err := secret(cmd, "password", "--password-stdin", stdin, true)
		if err != nil {
			return err
		}
		return a.with(shortTime, func(ctx context.Context, c *client.Client, p *printer, _ []string) error {
			o, err := c.Accounts().Create(ctx, client.AccountSpec{Name: names[0], Role: role, Password: password})
			if err != nil {
				return err
			}
			p.notef("Created account %s.\n", clean(o.Name))
			if p.json {
				return n.print(p, o)
			}
			return nil
		})(cmd, names)
	}
	cmd.Flags().StringVar(&role, "role", "auditor", "administrator (everything) or auditor (reads everything)")
	_ = cmd.RegisterFlagCompletionFunc("role", roles) // fails only for unknown flags
	cmd.Flags().BoolVar(&stdin, "password-stdin", false, "read the password from standard input")
	return cmd
}

func (a *app) accountEdit(n *noun[client.AccountSpec, client.Account]) *cobra.Command {
	var role string
	var disabled, newPassword, stdin bool
	cmd := &cobra.Command{Use: "edit NAME", Short: "Change an account", Args: args("NAME"), ValidArgsFunction: n.complete(1)}
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		patch := map[string]any{}
		if cmd.Flags().Changed("role") {
			patch["role"] = role
		}
		if cmd.Flags().Changed("disabled") {
			patch["disabled"] = disabled
		}
		if newPassword || stdin {
			password, err := secret(cmd, "password", "--password-stdin", stdin, true)
			if err != nil {
				return err
			}
			patch["password"] = password
		}
		if len(patch) == 0 {
			return usage("say what to change: --role, --disabled, --password or --password-stdin")
		}
		return a.with(shortTime, func(ctx context.Context, c *client.Client, p *printer, _ []string) error {
			o, err := c.Accounts().Find(ctx, names[0])
			if err != nil {
				return err
			}
			if o, err = c.Accounts().Patch(ctx, o.UID, client.Any, patch); err != nil {
				return err
			}
			p.notef("Changed account %s.\n", clean(o.Name))
			if p.json {
				return n.print(p, o)
			}
			return nil
		})(cmd, names)
	}
	f := cmd.Flags()
	f.StringVar(&role, "role", "", "administrator or auditor")
	_ = cmd.RegisterFlagCompletionFunc("role", roles) // fails only for unknown flags
	f.BoolVar(&disabled, "disabled", false, "cannot log in; its tokens do not work")
	f.BoolVar(&newPassword, "password", false, "ask for a new password")
	f.BoolVar(&stdin, "password-stdin", false, "read a new password from standard input")
	return cmd
}
