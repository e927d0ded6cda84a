package ctl

import (
	"context"
	"strings"

	"github.com/pve-smb-gateway/smbgw/client"
	"github.com/spf13/cobra"
)

func (a *app) users() *noun[client.UserSpec, client.User] {
	return &noun[client.UserSpec, client.User]{
		app: a, kind: "user", plural: "users", in: (*client.Client).Users,
		header: []string{"NAME", "FULL NAME", "STATE", "PASSWORD", "ID", "GROUPS"},
		row: func(u client.User) []cell {
			state, password := cell{"enabled", good}, cell{"set", plain}
			if !u.Enabled {
				state = cell{"disabled", busy}
			}
			if !u.PasswordSet {
				password = cell{"missing", busy}
			}
			return []cell{text(u.Name), text(u.FullName), state, password, text(itoa(u.ID)), text(strings.Join(u.Groups, ","))}
		},
		meta: func(u client.User) client.Meta { return u.Meta },
		name: func(u client.User) string { return u.Name },
	}
}

func (a *app) userCommand() *cobra.Command {
	n := a.users()
	return n.command("Users: people who log in over SMB",
		n.list(), n.get(), a.userCreate(n), a.userEdit(n), a.userPasswd(n), a.userImport(),
		n.remove("Files stay.", true, nil))
}

type userFlags struct {
	fullName string
	enabled  bool
	groups   []string
}

func (u *userFlags) register(cmd *cobra.Command, a *app) {
	f := cmd.Flags()
	f.StringVar(&u.fullName, "full-name", "", "the person's name")
	f.BoolVar(&u.enabled, "enabled", true, "may log in")
	f.StringSliceVar(&u.groups, "groups", nil, "groups of the user, such as staff,sales")
	_ = cmd.RegisterFlagCompletionFunc("groups", a.groups().complete(0)) // fails only for unknown flags
}

func (u *userFlags) fields(cmd *cobra.Command) map[string]any {
	out := map[string]any{}
	if cmd.Flags().Changed("full-name") {
		out["fullName"] = u.fullName
	}
	if cmd.Flags().Changed("enabled") {
		out["enabled"] = u.enabled
	}
	if cmd.Flags().Changed("groups") {
		out["groups"] = nonNil(u.groups)
	}
	return out
}

func (a *app) userCreate(n *noun[client.UserSpec, client.User]) *cobra.Command {
	var flags userFlags
	var stdin, none bool
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Create a user; asks for the password", Args: args("NAME"), ValidArgsFunction: cobra.NoFileCompletions,
		Example: "  smbgw user create alice --full-name 'Alice Smith' --groups staff\n" +
			"  pass show alice | smbgw user create alice --password-stdin",
	}
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		fields := flags.fields(cmd)
		fields["name"] = names[0]
		if !none {
			password, err := secret(cmd, "password", "--password-stdin", stdin, true)
			if err != nil {
				return err
			}
			fields["password"] = password
		}
		return a.with(shortTime, func(ctx context.Context, c *client.Client, p *printer, _ []string) error {
			u, err := createFrom(ctx, c.Users(), fields)
			if err != nil {
				return err
			}
			p.notef("Created user %s.\n", clean(u.Name))
			if p.json {
				return n.print(p, u)
			}
			return nil
		})(cmd, names)
	}
	flags.register(cmd, a)
	cmd.Flags().BoolVar(&stdin, "password-stdin", false, "read the password from standard input")
	cmd.Flags().BoolVar(&none, "no-password", false, "set no password yet; the user cannot log in until then")
	cmd.MarkFlagsMutuallyExclusive("password-stdin", "no-password")
	return cmd
}

func (a *app) userEdit(n *noun[client.UserSpec, client.User]) *cobra.Command {
	var flags userFlags
	cmd := &cobra.Command{Use: "edit NAME", Short: "Change a user: by flags, or in $EDITOR", Args: args("NAME"), ValidArgsFunction: n.complete(1)}
	cmd.RunE = a.with(waitTime, func(ctx context.Context, c *client.Client, p *printer, args []string) error {
		u, err := c.Users().Find(ctx, args[0])
		if err != nil {
			return err
		}
		changed, err := edit(ctx, cmd, p, userKind, c.Users(), u, n.meta, flags.fields(cmd))
		if err != nil {
			return err
		}
		p.notef("Changed user %s.\n", clean(changed.Name))
		if p.json {
			return n.print(p, changed)
		}
		return nil
	})
	flags.register(cmd, a)
	return cmd
}

func (a *app) userPasswd(n *noun[client.UserSpec, client.User]) *cobra.Command {
	var stdin bool
	cmd := &cobra.Command{Use: "passwd NAME", Short: "Set a user's password", Args: args("NAME"), ValidArgsFunction: n.complete(1)}
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		password, err := secret(cmd, "password", "--password-stdin", stdin, true)
		if err != nil {
			return err
		}
		return a.with(shortTime, func(ctx context.Context, c *client.Client, p *printer, names []string) error {
			u, err := c.Users().Find(ctx, names[0])
			if err != nil {
				return err
			}
			if u, err = c.Users().Patch(ctx, u.UID, client.Any, map[string]any{"password": password}); err != nil {
				return err
			}
			p.notef("The password of %s is set.\n", clean(u.Name))
			if p.json {
				return n.print(p, u)
			}
			return nil
		})(cmd, names)
	}
	cmd.Flags().BoolVar(&stdin, "password-stdin", false, "read the password from standard input")
	return cmd
}

func (a *app) userImport() *cobra.Command {
	var wait bool
	cmd := &cobra.Command{
		Use: "import FILE", Short: "Create or change many users from CSV (- reads standard input)", Args: args("FILE"),
		Long: "Creates or changes many users from CSV (UTF-8): lines name;password;fullName;group,group, or with commas. A first line that\n" +
			"starts with name names the columns. Of users that exist, what is given is changed and groups are added. A line that is\n" +
			"wrong does not stop the others. The work runs as a task on the server.",
	}
	cmd.RunE = func(cmd *cobra.Command, files []string) error {
		csv, err := readFile(cmd, files[0])
		if err != nil {
			return err
		}
		return a.with(waitTime, func(ctx context.Context, c *client.Client, p *printer, _ []string) error {
			t, err := c.ImportUsers(ctx, csv)
			if err != nil {
				return err
			}
			return a.started(ctx, c, p, t, wait)
		})(cmd, files)
	}
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until the task has ended")
	return cmd
}
