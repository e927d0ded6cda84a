package ctl

import (
	"context"
	"fmt"
	"strconv"

	"github.com/pve-smb-gateway/smbgw/client"
	"github.com/spf13/cobra"
)

func (a *app) auditCommand() *cobra.Command {
	n := &noun[struct{}, client.AuditEntry]{
		app: a, kind: "audit", plural: "audit entries", in: (*client.Client).Audit, sort: "-seq",
		header: []string{"SEQ", "AT", "WHO", "FROM", "ACTION", "NAME"},
		row: func(e client.AuditEntry) []cell {
			return []cell{text(strconv.FormatInt(e.Seq, 10)), text(e.At.Local().Format("2006-01-02 15:04:05")), text(e.Actor.Kind + " " + e.Actor.Name),
				text(orDash(e.RemoteAddr)), text(e.Action), text(e.Name)}
		},
	}
	verify := &cobra.Command{
		Use: "verify", Short: "Check that no entry was changed or taken out", Args: args(),
		RunE: a.with(waitTime, func(ctx context.Context, c *client.Client, p *printer, _ []string) error {
			v, err := c.VerifyAudit(ctx)
			if err != nil {
				return err
			}
			if p.json {
				if err := p.object(v); err != nil {
					return err
				}
			}
			if !v.OK {
				at := int64(0)
				if v.BrokenAt != nil {
					at = *v.BrokenAt
				}
				return fmt.Errorf("the audit trail is broken at entry %d (%s): someone has changed it outside the server", at, orDash(v.Reason))
			}
			p.notef("The audit trail is whole: %d entries. Note the newest hash elsewhere: %s\n", v.Entries, clean(v.Head))
			return nil
		}),
	}
	c := &cobra.Command{Use: "audit", Short: "Audit trail: who changed what", Args: cobra.ArbitraryArgs, RunE: helpOr("verb of audit")}
	list := n.list()
	list.Short = "List changes, the latest first"
	c.AddCommand(list, verify)
	return c
}
