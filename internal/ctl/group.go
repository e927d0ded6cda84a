package ctl

import (
	"context"
	"slices"
	"strings"

	"github.com/pve-smb-gateway/smbgw/client"
	"github.com/spf13/cobra"
)

func (a *app) groups() *noun[client.GroupSpec, client.Group] {
	return &noun[client.GroupSpec, client.Group]{
		app: a, kind: "group", plural: "groups", in: (*client.Client).Groups,
		header: []string{"NAME", "ID", "MEMBERS"},
		row: func(g client.Group) []cell {
			return []cell{text(g.Name), text(itoa(g.ID)), text(strings.Join(g.Members, ","))}
		},
		meta: func(g client.Group) client.Meta { return g.Meta },
		name: func(g client.Group) string { return g.Name },
	}
}

func (a *app) groupCommand() *cobra.Command {
	n := a.groups()
	return n.command("Groups of users; shares name them as @group",
		n.list(), n.get(), a.groupCreate(n), a.groupEdit(n),
		a.groupMembers(n, "add-member", "Add users to a group", func(have, names []string) []string {
			for _, u := range names {
				if !slices.Contains(have, u) {
					have = append(have, u)
				}
			}
			return have
		}),
		a.groupMembers(n, "remove-member", "Remove users from a group", func(have, names []string) []string {
			return slices.DeleteFunc(have, func(u string) bool { return slices.Contains(names, u) })
		}),
		n.remove("Users and files stay.", true, nil))
}

func (a *app) groupCreate(n *noun[client.GroupSpec, client.Group]) *cobra.Command {
	var members []string
	cmd := &cobra.Command{Use: "create NAME", Short: "Create a group", Args: args("NAME"), ValidArgsFunction: cobra.NoFileCompletions}
	cmd.RunE = a.with(shortTime, func(ctx context.Context, c *client.Client, p *printer, args []string) error {
		g, err := c.Groups().Create(ctx, client.GroupSpec{Name: args[0], Members: members})
		if err != nil {
			return err
		}
		p.notef("Created group %s.\n", clean(g.Name))
		if p.json {
			return n.print(p, g)
		}
		return nil
	})
	a.membersFlag(cmd, &members)
	return cmd
}

func (a *app) membersFlag(cmd *cobra.Command, members *[]string) {
	cmd.Flags().StringSliceVar(members, "members", nil, "its users, such as alice,bob")
	_ = cmd.RegisterFlagCompletionFunc("members", a.users().complete(0)) // fails only for unknown flags
}

func (a *app) groupEdit(n *noun[client.GroupSpec, client.Group]) *cobra.Command {
	var members []string
	cmd := &cobra.Command{Use: "edit NAME", Short: "Change a group: by flags, or in $EDITOR", Args: args("NAME"), ValidArgsFunction: n.complete(1)}
	cmd.RunE = a.with(waitTime, func(ctx context.Context, c *client.Client, p *printer, args []string) error {
		g, err := c.Groups().Find(ctx, args[0])
		if err != nil {
			return err
		}
		patch := map[string]any{}
		if cmd.Flags().Changed("members") {
			patch["members"] = nonNil(members)
		}
		if g, err = edit(ctx, cmd, p, groupKind, c.Groups(), g, n.meta, patch); err != nil {
			return err
		}
		p.notef("Changed group %s.\n", clean(g.Name))
		if p.json {
			return n.print(p, g)
		}
		return nil
	})
	a.membersFlag(cmd, &members)
	return cmd
}

// groupMembers returns a verb that changes the members relative to what they are, and tries again when someone else
// changed the group meanwhile.
func (a *app) groupMembers(n *noun[client.GroupSpec, client.Group], verb, short string, change func(have, names []string) []string) *cobra.Command {
	cmd := &cobra.Command{Use: verb + " GROUP USER...", Short: short}
	cmd.Args = func(cmd *cobra.Command, got []string) error {
		if len(got) < 2 {
			return usage("%s: %s is missing", cmd.CommandPath(), []string{"GROUP", "USER"}[len(got)])
		}
		return nil
	}
	cmd.ValidArgsFunction = func(cmd *cobra.Command, got []string, prefix string) ([]string, cobra.ShellCompDirective) {
		if len(got) == 0 {
			return n.names(cmd, prefix), cobra.ShellCompDirectiveNoFileComp
		}
		return a.users().names(cmd, prefix), cobra.ShellCompDirectiveNoFileComp
	}
	cmd.RunE = a.with(shortTime, func(ctx context.Context, c *client.Client, p *printer, args []string) error {
		for try := 0; ; try++ {
			g, err := c.Groups().Find(ctx, args[0])
			if err != nil {
				return err
			}
			want := change(slices.Clone(g.Members), args[1:])
			if !slices.Equal(want, g.Members) {
				g, err = c.Groups().Patch(ctx, g.UID, g.ETag(), map[string]any{"members": nonNil(want)})
				if client.CodeOf(err) == client.CodeStale && try < 5 {
					continue
				}
				if err != nil {
					return err
				}
			}
			p.notef("Members of %s: %s\n", clean(g.Name), clean(orDash(strings.Join(g.Members, ", "))))
			if p.json {
				return n.print(p, g)
			}
			return nil
		}
	})
	return cmd
}
