package ctl

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pve-smb-gateway/smbgw/client"
	"github.com/spf13/cobra"
)

func (a *app) shares() *noun[client.ShareSpec, client.Share] {
	return &noun[client.ShareSpec, client.Share]{
		app: a, kind: "share", plural: "shares", in: (*client.Client).Shares,
		header: []string{"NAME", "NODE", "STATE", "ACCESS", "USERS", "PATH", "WHY"},
		row: func(s client.Share) []cell {
			access := "read-write"
			if s.ReadOnly {
				access = "read-only"
			}
			users := "everyone"
			if len(s.ValidUsers) > 0 {
				users = strings.Join(s.ValidUsers, ",")
			}
			return []cell{text(s.Name), text(s.NodeName), stateCell(s.Status.Phase), text(access), text(users), text(pathOf(s)), text(why(s))}
		},
		meta: func(s client.Share) client.Meta { return s.Meta },
		name: func(s client.Share) string { return s.Name },
		show: showShare,
	}
}

func (a *app) shareCommand() *cobra.Command {
	n := a.shares()
	c := n.command("Shares: what SMB clients connect to",
		n.list(), n.get(), a.shareCreate(n), a.shareEdit(n),
		n.remove("Its files stay where they are.", false, nil))
	return c
}

func pathOf(s client.Share) string {
	if s.Status.Path != "" {
		return s.Status.Path
	}
	return s.Path
}

// why says in a few words why a share is not Ready.
func why(s client.Share) string {
	if s.Status.Phase == client.PhaseReady {
		return ""
	}
	if c := worst(s.Status.Conditions); c != nil {
		return c.Reason
	}
	return "waiting for the node"
}

// worst returns the condition that explains best why an object is not well: the summary, or the first that is bad.
func worst(conds []client.Condition) *client.Condition {
	ready := client.FindCondition(conds, client.Ready)
	if ready != nil && ready.Status != "True" {
		return ready
	}
	for i := range conds {
		if conditionCell(conds[i]).state == bad {
			return &conds[i]
		}
	}
	return nil
}

func showShare(p *printer, s client.Share) error {
	p.printf("%s  %s\n", clean(s.Name), p.paint(s.Status.Phase, stateOf[s.Status.Phase]))
	line := func(label, value string) {
		if value != "" {
			p.printf("  %-12s %s\n", label, clean(value))
		}
	}
	line("node", s.NodeName)
	line("path", pathOf(s))
	line("comment", s.Comment)
	line("read only", yesNo(s.ReadOnly))
	line("browseable", yesNo(s.Browseable))
	users := strings.Join(s.ValidUsers, ", ")
	if users == "" {
		users = "everyone who can log in"
	}
	line("valid users", users)
	line("read list", strings.Join(s.ReadList, ", "))
	line("write list", strings.Join(s.WriteList, ", "))
	for _, key := range sortedKeys(s.Parameters) {
		line("parameter", key+" = "+s.Parameters[key])
	}
	line("uid", s.UID)
	line("generation", fmt.Sprintf("%d, observed %d", s.Generation, s.Status.ObservedGeneration))
	showConditions(p, s.Status.Conditions)
	showReceipt(p, s.Status.Receipt)
	return nil
}

func showConditions(p *printer, conds []client.Condition) {
	if len(conds) == 0 {
		p.printf("\nNothing has been observed yet.\n")
		return
	}
	p.printf("\n")
	rows := make([][]cell, len(conds))
	for i, c := range conds {
		rows[i] = []cell{text(c.Type), conditionCell(c), text(c.Reason), text(ago(c.LastTransitionAt)), text(c.Message)}
	}
	p.table([]string{"CONDITION", "STATUS", "REASON", "SINCE", "MESSAGE"}, rows)
}

// conditionCell colours a condition; for Degraded and Fenced, True is the bad news.
func conditionCell(c client.Condition) cell {
	cl := stateCell(c.Status)
	if slices.Contains([]string{"Degraded", "Fenced", "RemovalsHeld"}, c.Type) { // True is the bad one
		switch c.Status {
		case "True":
			cl.state = bad
		case "False":
			cl.state = good
		}
	}
	return cl
}

func showReceipt(p *printer, r *client.Receipt) {
	if r == nil {
		return
	}
	verdict := cell{"passed", good}
	if !r.Passed {
		verdict = cell{"failed", bad}
	}
	p.printf("\nProof of %s (generation %d) by %s %s: %s in %.0f ms\n", r.At.Local().Format("2006-01-02 15:04:05"), r.Generation,
		clean(r.Client), clean(r.Dialect), p.paint(verdict.text, verdict.state), r.Millis)
	rows := make([][]cell, len(r.Checks))
	for i, c := range r.Checks {
		ok := cell{"ok", good}
		if !c.OK {
			ok = cell{"FAILED", bad}
		}
		rows[i] = []cell{text(c.Name), ok, text(orDash(c.As)), text(orDash(c.Status)), text(c.Detail)}
	}
	p.table([]string{"CHECK", "RESULT", "AS", "STATUS", "DETAIL"}, rows)
}

// shareFlags are the flags that write a spec, for create and edit alike.
type shareFlags struct {
	spec       client.ShareSpec
	createPath bool
	browseable bool
	parameters []string
}

func (s *shareFlags) register(cmd *cobra.Command, a *app) {
	f := cmd.Flags()
	f.StringVar(&s.spec.Path, "path", "", "directory on the node (default: the node's first share root with the name)")
	f.BoolVar(&s.createPath, "create-path", true, "create the directory if it is missing")
	f.StringVar(&s.spec.Comment, "comment", "", "what clients see beside the name")
	f.BoolVar(&s.spec.ReadOnly, "read-only", false, "nobody writes, except who is in --write-list")
	f.BoolVar(&s.browseable, "browseable", true, "show the share when clients list shares")
	f.StringSliceVar(&s.spec.ValidUsers, "valid-users", nil, "users and @groups that may connect, such as alice,@staff (default: everyone)")
	f.StringSliceVar(&s.spec.ReadList, "read-list", nil, "users and @groups that may only read")
	f.StringSliceVar(&s.spec.WriteList, "write-list", nil, "users and @groups that may write although the share is read-only")
	f.StringArrayVar(&s.parameters, "parameter", nil, `further smb.conf parameter, such as "veto files=/*.tmp/" (may be repeated)`)
	for _, name := range []string{"valid-users", "read-list", "write-list"} {
		_ = cmd.RegisterFlagCompletionFunc(name, a.completePrincipals) // fails only for unknown flags
	}
}

// fields returns what was said, by API name.
func (s *shareFlags) fields(cmd *cobra.Command) (map[string]any, error) {
	out := map[string]any{}
	set := func(flag, name string, value any) {
		if cmd.Flags().Changed(flag) {
			out[name] = value
		}
	}
	set("path", "path", s.spec.Path)
	set("create-path", "createPath", s.createPath)
	set("comment", "comment", s.spec.Comment)
	set("read-only", "readOnly", s.spec.ReadOnly)
	set("browseable", "browseable", s.browseable)
	set("valid-users", "validUsers", nonNil(s.spec.ValidUsers))
	set("read-list", "readList", nonNil(s.spec.ReadList))
	set("write-list", "writeList", nonNil(s.spec.WriteList))
	if cmd.Flags().Changed("parameter") {
		parameters := map[string]any{}
		for _, p := range s.parameters {
			key, value, ok := strings.Cut(p, "=")
			if !ok || strings.TrimSpace(key) == "" {
				return nil, usage("--parameter %q: write it as NAME=VALUE", p)
			}
			parameters[strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
		out["parameters"] = parameters
	}
	return out, nil
}

func (a *app) shareCreate(n *noun[client.ShareSpec, client.Share]) *cobra.Command {
	var flags shareFlags
	var node string
	var wait bool
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Create a share", Args: args("NAME"), ValidArgsFunction: cobra.NoFileCompletions,
		Example: "  smbgw share create projects --valid-users alice,@staff --comment 'Shared work' --wait",
	}
	cmd.RunE = a.with(waitTime, func(ctx context.Context, c *client.Client, p *printer, args []string) error {
		fields, err := flags.fields(cmd)
		if err != nil {
			return err
		}
		fields["name"] = args[0]
		if node != "" {
			fields["node"] = node
		}
		var w *waiter
		if wait {
			if w, err = startWaiting(ctx, c, p); err != nil {
				return err
			}
			defer w.close()
		}
		s, err := createFrom(ctx, c.Shares(), fields)
		if err != nil {
			return err
		}
		return a.written(ctx, c, p, n, w, s, "Created")
	})
	flags.register(cmd, a)
	cmd.Flags().StringVar(&node, "node", "", "node that serves it (may be left out where there is one)")
	_ = cmd.RegisterFlagCompletionFunc("node", a.nodes().complete(0)) // fails only for unknown flags
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until a real SMB client has used it")
	return cmd
}

func (a *app) shareEdit(n *noun[client.ShareSpec, client.Share]) *cobra.Command {
	var flags shareFlags
	var wait bool
	var name string
	cmd := &cobra.Command{
		Use: "edit NAME", Short: "Change a share: by flags, or in $EDITOR", Args: args("NAME"), ValidArgsFunction: n.complete(1),
		Example: "  smbgw share edit projects --read-only --write-list alice\n  smbgw share edit projects    # opens $EDITOR",
	}
	cmd.RunE = a.with(waitTime, func(ctx context.Context, c *client.Client, p *printer, args []string) error {
		patch, err := flags.fields(cmd)
		if err != nil {
			return err
		}
		if cmd.Flags().Changed("name") {
			patch["name"] = name
		}
		s, err := c.Shares().Find(ctx, args[0])
		if err != nil {
			return err
		}
		var w *waiter
		if wait {
			if w, err = startWaiting(ctx, c, p); err != nil {
				return err
			}
			defer w.close()
		}
		changed, err := edit(ctx, cmd, p, shareKind, c.Shares(), s, n.meta, patch)
		if err != nil {
			return err
		}
		return a.written(ctx, c, p, n, w, changed, "Changed")
	})
	flags.register(cmd, a)
	cmd.Flags().StringVar(&name, "name", "", "rename it")
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until a real SMB client has used it")
	return cmd
}

// written ends a create or edit: it waits if w is set, and prints the object with --json.
func (a *app) written(ctx context.Context, c *client.Client, p *printer, n *noun[client.ShareSpec, client.Share], w *waiter, s client.Share, did string) error {
	p.notef("%s share %s on %s.\n", did, clean(s.Name), clean(s.NodeName))
	var failed error
	if w != nil {
		w.add(s)
		failed = w.run(ctx)
		if latest, ok := w.last(s.UID); ok {
			s = latest
		}
	}
	if p.json {
		if err := p.object(s); err != nil {
			return err
		}
	}
	return failed
}

// completePrincipals offers users and @groups, behind the last comma.
func (a *app) completePrincipals(cmd *cobra.Command, _ []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	done, last := "", toComplete
	if i := strings.LastIndexByte(toComplete, ','); i >= 0 {
		done, last = toComplete[:i+1], toComplete[i+1:]
	}
	var out []string
	group, isGroup := strings.CutPrefix(last, "@")
	if !isGroup {
		for _, u := range a.users().names(cmd, last) {
			out = append(out, done+u)
		}
	}
	if isGroup || last == "" {
		for _, g := range a.groups().names(cmd, group) {
			out = append(out, done+"@"+g)
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

func nonNil(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}
