package ctl

import (
	"context"
	"slices"
	"strings"

	"github.com/pve-smb-gateway/smbgw/client"
	"github.com/spf13/cobra"
)

func (a *app) exportCommand() *cobra.Command {
	var only []string
	cmd := &cobra.Command{
		Use: "export", Short: "Write all users, groups and shares as YAML for apply", Args: args(),
		Long:    "Writes all users, groups and shares as YAML that 'smbgw apply' takes. Passwords are not in it.",
		Example: "  smbgw export > gateway.yaml\n  smbgw export --kind share",
	}
	cmd.RunE = a.with(shortTime, func(ctx context.Context, c *client.Client, p *printer, _ []string) error {
		for _, name := range only {
			if !slices.ContainsFunc(declarable(), func(k *kind) bool { return strings.EqualFold(k.name, name) }) {
				return usage("--kind %q is not one of %s", name, kindNames(declarable()))
			}
		}
		docs := []map[string]any{}
		for _, k := range declarable() {
			if len(only) > 0 && !slices.ContainsFunc(only, func(s string) bool { return strings.EqualFold(s, k.name) }) {
				continue
			}
			items, err := k.list(ctx, c, "")
			if err != nil {
				return err
			}
			for _, it := range items {
				if it.share != nil && it.share.Status.Phase == client.Deleting {
					continue
				}
				for _, f := range k.fields {
					if f.elsewhere {
						delete(it.fields, f.name)
					}
				}
				delete(it.fields, "nodeUID")
				if p.json {
					it.fields["apiVersion"], it.fields["kind"] = apiVersion, k.name
					docs = append(docs, it.fields)
					continue
				}
				text, err := k.write(it.fields)
				if err != nil {
					return err
				}
				p.printf("---\n%s", text)
			}
		}
		if p.json {
			return p.object(map[string]any{"items": docs})
		}
		return nil
	})
	cmd.Flags().StringSliceVar(&only, "kind", nil, "only these kinds: user, group, share")
	_ = cmd.RegisterFlagCompletionFunc("kind", cobra.FixedCompletions([]string{"user", "group", "share"}, cobra.ShellCompDirectiveNoFileComp)) // fails only for unknown flags
	return cmd
}
