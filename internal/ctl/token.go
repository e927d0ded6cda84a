package ctl

import (
	"context"
	"strings"
	"time"

	"github.com/pve-smb-gateway/smbgw/client"
	"github.com/spf13/cobra"
)

func (a *app) tokens() *noun[client.TokenSpec, client.Token] {
	return &noun[client.TokenSpec, client.Token]{
		app: a, kind: "token", plural: "tokens", in: (*client.Client).Tokens,
		header: []string{"NAME", "OWNER", "PRIVILEGES", "EXPIRES", "USED"},
		row: func(t client.Token) []cell {
			expires := "never"
			if t.ExpiresAt != nil {
				expires = t.ExpiresAt.Local().Format("2006-01-02 15:04")
			}
			return []cell{text(t.Name), text(orDash(t.Owner)), text(strings.Join(t.Privileges, ",")), text(expires), text(agoPointer(t.LastUsedAt))}
		},
		meta: func(t client.Token) client.Meta { return t.Meta },
		name: func(t client.Token) string { return t.Name },
	}
}

func (a *app) tokenCommand() *cobra.Command {
	n := a.tokens()
	return n.command("API tokens for programs", n.list(), n.get(), a.tokenCreate(), n.remove("Programs that use it are locked out at once.", false, nil))
}

func (a *app) tokenCreate() *cobra.Command {
	var privileges []string
	var expires string
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Create an API token; its secret is shown once", Args: args("NAME"), ValidArgsFunction: cobra.NoFileCompletions,
		Example: "  smbgw token create backup --privileges Share.Audit,Node.Audit --expires 90d",
	}
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		spec := client.TokenSpec{Name: names[0], Privileges: privileges}
		if len(privileges) == 0 {
			return usage("say what the token may do with --privileges, such as Share.Audit,Share.Modify")
		}
		if expires != "" {
			at, err := parseExpiry(expires, time.Now())
			if err != nil {
				return err
			}
			spec.ExpiresAt = &at
		}
		return a.with(shortTime, func(ctx context.Context, c *client.Client, p *printer, _ []string) error {
			t, err := c.Tokens().Create(ctx, spec)
			if err != nil {
				return err
			}
			if p.json {
				return p.object(t)
			}
			p.notef("Created token %s. Keep the secret; it is not shown again:\n", clean(t.Name))
			p.printf("%s\n", clean(t.Secret))
			return nil
		})(cmd, names)
	}
	f := cmd.Flags()
	f.StringSliceVar(&privileges, "privileges", nil, "what it may do, such as Share.Audit,Share.Modify")
	f.StringVar(&expires, "expires", "", "when it ends: 90d, 12h, or a date such as 2030-01-31")
	_ = cmd.RegisterFlagCompletionFunc("privileges", a.completePrivileges) // fails only for unknown flags
	return cmd
}

// completePrivileges offers the privileges that the caller holds.
func (a *app) completePrivileges(cmd *cobra.Command, _ []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	none := cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	c, err := a.client()
	if err != nil {
		return nil, none
	}
	ctx, cancel := a.limit(cmd, completionTime)
	defer cancel()
	me, err := c.Me(ctx)
	if err != nil {
		return nil, none
	}
	done := toComplete[:strings.LastIndexByte(toComplete, ',')+1]
	for i := range me.Privileges {
		me.Privileges[i] = done + me.Privileges[i]
	}
	return me.Privileges, none
}

// parseExpiry reads 90d, 12h, a date (the end of that day, local time) or an RFC 3339 time.
func parseExpiry(s string, now time.Time) (time.Time, error) {
	var at time.Time
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if d, err := time.ParseDuration(days + "h"); err == nil {
			at = now.Add(24 * d)
		}
	} else if d, err := time.ParseDuration(s); err == nil {
		at = now.Add(d)
	} else if day, err := time.ParseInLocation(time.DateOnly, s, now.Location()); err == nil {
		at = day.AddDate(0, 0, 1).Add(-time.Second)
	} else if t, err := time.Parse(time.RFC3339, s); err == nil {
		at = t
	}
	if at.IsZero() {
		return at, usage("--expires %q: write 90d, 12h, or a date such as 2030-01-31", s)
	}
	if !at.After(now) {
		return at, usage("--expires %q lies in the past", s)
	}
	return at.UTC().Truncate(time.Second), nil
}
