package ctl

import (
	"context"
	"strings"

	"github.com/pve-smb-gateway/smbgw/client"
	"github.com/spf13/cobra"
)

// noun has what the commands of one kind of object share.
type noun[S, O any] struct {
	app    *app
	kind   string // "share"
	plural string
	in     func(*client.Client) *client.Collection[S, O]
	header []string
	row    func(O) []cell
	meta   func(O) client.Meta
	name   func(O) string
	// show prints one object for people; as YAML if nil.
	show func(*printer, O) error
	sort string
}

// command returns the noun itself, with its verbs.
func (n *noun[S, O]) command(short string, verbs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: n.kind, Aliases: []string{n.plural}, Short: short, Args: cobra.ArbitraryArgs, RunE: helpOr("verb of " + n.kind)}
	c.AddCommand(verbs...)
	return c
}

func (n *noun[S, O]) print(p *printer, o O) error {
	if p.json {
		return p.object(o)
	}
	if n.show != nil {
		return n.show(p, o)
	}
	return p.yaml(o)
}

func (n *noun[S, O]) list() *cobra.Command {
	var o client.ListOptions
	var max int
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List " + n.plural, Args: args(),
		RunE: n.app.with(shortTime, func(ctx context.Context, c *client.Client, p *printer, _ []string) error {
			if o.Sort == "" {
				o.Sort = n.sort
			}
			if max > 0 {
				o.Limit = min(max, 500)
			}
			items := []O{}
			for item, err := range n.in(c).All(ctx, o) {
				if err != nil {
					return err
				}
				if items = append(items, item); len(items) == max {
					break
				}
			}
			return n.printList(p, items)
		}),
	}
	f := cmd.Flags()
	f.StringVarP(&o.Search, "search", "q", "", "only those with all of these words")
	f.StringVar(&o.Filter, "filter", "", `only those that fit, such as: ready eq "False" and name startswith "a"`)
	f.StringVar(&o.Sort, "sort", "", "order, such as: -updatedAt,name")
	f.IntVar(&max, "limit", 0, "at most this many")
	return cmd
}

func (n *noun[S, O]) printList(p *printer, items []O) error {
	if p.json {
		return p.object(client.Page[O]{Items: items, Total: len(items)})
	}
	if len(items) == 0 {
		p.notef("No %s.\n", n.plural)
		return nil
	}
	rows := make([][]cell, len(items))
	for i, item := range items {
		rows[i] = n.row(item)
	}
	p.table(n.header, rows)
	return nil
}

func (n *noun[S, O]) get() *cobra.Command {
	return &cobra.Command{
		Use: "get NAME", Aliases: []string{"show"}, Short: "Show one " + n.kind, Args: args("NAME"), ValidArgsFunction: n.complete(1),
		RunE: n.app.with(shortTime, func(ctx context.Context, c *client.Client, p *printer, args []string) error {
			o, err := n.in(c).Find(ctx, args[0])
			if err != nil {
				return err
			}
			return n.print(p, o)
		}),
	}
}

// remove returns the verb delete. gone is called with what the server answered; warning goes into the question.
func (n *noun[S, O]) remove(warning string, canForce bool, gone func(ctx context.Context, c *client.Client, p *printer, was []O) error) *cobra.Command {
	var yes, force bool
	cmd := &cobra.Command{Use: "delete NAME...", Aliases: []string{"rm"}, Short: "Delete " + n.plural, Args: atLeastOne("NAME"), ValidArgsFunction: n.complete(0)}
	cmd.RunE = n.app.with(waitTime, func(ctx context.Context, c *client.Client, p *printer, names []string) error {
		var found []O
		for _, name := range names {
			o, err := n.in(c).Find(ctx, name)
			if err != nil {
				return err
			}
			found = append(found, o)
		}
		if err := confirm(cmd, yes, "Delete the "+n.kind+" "+strings.Join(names, ", ")+"? "+warning); err != nil {
			return err
		}
		for _, o := range found {
			m, del := n.meta(o), n.in(c).Delete
			if force {
				del = n.in(c).ForceDelete
			}
			// Any: a share's status changes all the time, and the UID already names this incarnation.
			if _, err := del(ctx, m.UID, client.Any); err != nil {
				return err
			}
			p.notef("Deleted %s %s.\n", n.kind, clean(n.name(o)))
		}
		if gone != nil {
			return gone(ctx, c, p, found)
		}
		return nil
	})
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	if canForce {
		cmd.Flags().BoolVar(&force, "force", false, "also while shares still name it")
	}
	return cmd
}

// complete offers names, for the first max arguments (0: for all).
func (n *noun[S, O]) complete(max int) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
		if max > 0 && len(args) >= max {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return n.names(cmd, toComplete), cobra.ShellCompDirectiveNoFileComp
	}
}

// names asks the server for names that begin with prefix; a completion that fails is silent.
func (n *noun[S, O]) names(cmd *cobra.Command, prefix string) []string {
	c, err := n.app.client()
	if err != nil {
		return nil
	}
	ctx, cancel := n.app.limit(cmd, completionTime)
	defer cancel()
	o := client.ListOptions{Limit: 100}
	if prefix != "" {
		o.Filter = "name startswith " + client.Quote(prefix)
	}
	page, err := n.in(c).List(ctx, o)
	if err != nil {
		return nil
	}
	var names []string
	for _, item := range page.Items {
		names = append(names, n.name(item))
	}
	return names
}
