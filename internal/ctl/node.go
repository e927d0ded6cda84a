package ctl

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/pve-smb-gateway/smbgw/client"
	"github.com/spf13/cobra"
)

func (a *app) nodes() *noun[client.NodeSpec, client.Node] {
	return &noun[client.NodeSpec, client.Node]{
		app: a, kind: "node", plural: "nodes", in: (*client.Client).Nodes,
		header: []string{"NAME", "STATE", "ADDRESS", "SAMBA", "AGENT", "SEEN", "WHY"},
		row: func(n client.Node) []cell {
			reason := ""
			if c := worst(n.Status.Conditions); c != nil {
				reason = c.Reason
			}
			return []cell{text(n.Name), stateCell(n.Status.Phase), text(nodeAddress(n)), text(orDash(n.Status.SambaVersion)),
				text(orDash(n.Status.AgentVersion)), text(agoPointer(n.Status.LastSeenAt)), text(reason)}
		},
		meta: func(n client.Node) client.Meta { return n.Meta },
		name: func(n client.Node) string { return n.Name },
		show: showNode,
	}
}

func nodeAddress(n client.Node) string {
	if n.Address == "" {
		return "-"
	}
	if n.SMBPort == 0 || n.SMBPort == 445 {
		return n.Address
	}
	return n.Address + ":" + itoa(n.SMBPort)
}

func showNode(p *printer, n client.Node) error {
	p.printf("%s  %s\n", clean(n.Name), p.paint(clean(n.Status.Phase), stateOf[n.Status.Phase]))
	line := func(label, value string) {
		if value != "" {
			p.printf("  %-12s %s\n", label, clean(value))
		}
	}
	line("address", nodeAddress(n))
	line("share roots", strings.Join(n.ShareRoots, ", "))
	line("hostname", n.Status.Hostname)
	line("os", n.Status.OS)
	line("agent", n.Status.AgentVersion)
	line("samba", n.Status.SambaVersion)
	line("backend", n.Status.Backend)
	line("nss", n.Status.NSS)
	line("last seen", agoPointer(n.Status.LastSeenAt))
	if n.Status.SmbdPID > 0 {
		line("smbd", "pid "+itoa(n.Status.SmbdPID)+", started "+agoPointer(n.Status.SmbdStarted)+", restarts "+itoa(n.Status.SmbdRestarts))
	}
	line("uid", n.UID)
	if len(n.Status.Held) > 0 {
		line("held", strings.Join(n.Status.Held, ", "))
		p.printf("  These shares were kept although they are no longer wanted. Look at the list, then run:\n  smbgw node confirm-removals %s\n", clean(n.Name))
	}
	showConditions(p, n.Status.Conditions)
	return nil
}

func (a *app) nodeCommand() *cobra.Command {
	n := a.nodes()
	return n.command("Nodes: machines that serve shares",
		n.list(), n.get(), a.nodeEnrol(), a.nodeEdit(n), a.nodeConfirm(n),
		n.remove("Its agent is no longer let in; files stay.", false, nil))
}

func (a *app) nodeEnrol() *cobra.Command {
	var ttl time.Duration
	var replace bool
	cmd := &cobra.Command{
		Use: "enrol-token NAME", Short: "Let a new node join: prints the token and what to run there", Args: args("NAME"), ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.RunE = a.with(shortTime, func(ctx context.Context, c *client.Client, p *printer, args []string) error {
		e, err := c.Enrol(ctx, client.EnrolmentSpec{Name: args[0], TTLSeconds: int(ttl.Seconds()), Replace: replace})
		if err != nil {
			return err
		}
		if p.json {
			return p.object(e)
		}
		p.notef("Run this as root on the machine that shall be %s:\n  %s\nand paste this token when it waits (before %s, once):\n", clean(args[0]),
			clean(e.Command), e.ExpiresAt.Local().Format("2006-01-02 15:04:05"))
		p.printf("%s\n", clean(e.Token))
		return nil
	})
	cmd.Flags().DurationVar(&ttl, "ttl", 0, "how long the token can be used (default: the server's)")
	cmd.Flags().BoolVar(&replace, "replace", false, "the node exists: enrol its machine anew; what it was before is shut out")
	return cmd
}

func (a *app) nodeEdit(n *noun[client.NodeSpec, client.Node]) *cobra.Command {
	var name, address string
	cmd := &cobra.Command{Use: "edit NAME", Short: "Change a node: by flags, or in $EDITOR", Args: args("NAME"), ValidArgsFunction: n.complete(1)}
	cmd.RunE = a.with(waitTime, func(ctx context.Context, c *client.Client, p *printer, args []string) error {
		o, err := c.Nodes().Find(ctx, args[0])
		if err != nil {
			return err
		}
		patch := map[string]any{}
		if cmd.Flags().Changed("name") {
			patch["name"] = name
		}
		if cmd.Flags().Changed("address") {
			patch["advertisedAddress"] = address
		}
		if o, err = edit(ctx, cmd, p, nodeKind, c.Nodes(), o, n.meta, patch); err != nil {
			return err
		}
		p.notef("Changed node %s.\n", clean(o.Name))
		if p.json {
			return n.print(p, o)
		}
		return nil
	})
	f := cmd.Flags()
	f.StringVar(&name, "name", "", "rename it")
	f.StringVar(&address, "address", "", "name or address by which SMB clients reach it (empty: where its agent says)")
	return cmd
}

func (a *app) nodeConfirm(n *noun[client.NodeSpec, client.Node]) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{Use: "confirm-removals NAME", Short: "Let a node remove the shares that it holds back", Args: args("NAME"), ValidArgsFunction: n.complete(1)}
	cmd.RunE = a.with(shortTime, func(ctx context.Context, c *client.Client, p *printer, args []string) error {
		o, err := c.Nodes().Find(ctx, args[0])
		if err != nil {
			return err
		}
		if err := confirm(cmd, yes, "Stop serving "+orDash(strings.Join(o.Status.Held, ", "))+" on "+o.Name+"? The files stay."); err != nil {
			return err
		}
		held := o.Status.Held
		for try := 0; ; try++ {
			after, err := c.ConfirmRemovals(ctx, o.UID, o.ETag())
			if err == nil {
				o = after
				break
			}
			if client.CodeOf(err) != client.CodeStale || try == 5 {
				return err
			}
			// The node's status moves all the time. What was agreed to is the list.
			if o, err = c.Nodes().Get(ctx, o.UID); err != nil {
				return err
			}
			if !slices.Equal(held, o.Status.Held) {
				return &client.Problem{Status: http.StatusPreconditionFailed, Code: client.CodeStale, Title: "Precondition Failed",
					Detail: "The node holds other shares now than those you were shown. Look again with 'smbgw node get " + o.Name + "'."}
			}
		}
		p.notef("Confirmed. The node removes these shares now.\n")
		if p.json {
			return n.print(p, o)
		}
		return nil
	})
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}
