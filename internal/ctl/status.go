package ctl

import (
	"context"
	"fmt"

	"github.com/pve-smb-gateway/smbgw/client"
	"github.com/spf13/cobra"
)

// statusReport is what status prints with --json.
type statusReport struct {
	Server   string         `json:"server"`
	Version  string         `json:"version"`
	Health   client.Health  `json:"health"`
	Nodes    []client.Node  `json:"nodes"`
	Shares   int            `json:"shares"`
	NotReady []client.Share `json:"notReady"`
}

func (a *app) statusCommand() *cobra.Command {
	var check bool
	cmd := &cobra.Command{
		Use: "status", Short: "Show how the server, the nodes and the shares are", Args: args(),
		Long: "Shows the server's health, the nodes, and every share that is not Ready with the reason and what to do.",
	}
	cmd.RunE = a.with(shortTime, func(ctx context.Context, c *client.Client, p *printer, _ []string) error {
		r := statusReport{Server: c.Server(), Nodes: []client.Node{}, NotReady: []client.Share{}}
		v, err := c.Version(ctx)
		if err != nil {
			return err
		}
		r.Version = v.Version
		if r.Health, err = c.Health(ctx); err != nil {
			return err
		}
		for n, err := range c.Nodes().All(ctx, client.ListOptions{}) {
			if err != nil {
				return err
			}
			r.Nodes = append(r.Nodes, n)
		}
		for s, err := range c.Shares().All(ctx, client.ListOptions{Limit: 1000}) {
			if err != nil {
				return err
			}
			if r.Shares++; s.Status.Phase != client.PhaseReady {
				r.NotReady = append(r.NotReady, s)
			}
		}
		if p.json {
			if err := p.object(r); err != nil {
				return err
			}
		} else {
			r.print(p, a)
		}
		if check && len(r.NotReady) > 0 {
			return &notReadyError{fmt.Sprintf("%d of %d shares are not Ready", len(r.NotReady), r.Shares)}
		}
		return nil
	})
	cmd.Flags().BoolVar(&check, "check", false, "exit with 8 if a share is not Ready")
	return cmd
}

func (r statusReport) print(p *printer, a *app) {
	health := cell{r.Health.Status, good}
	if r.Health.Status != "ok" {
		health.state = bad
	}
	p.printf("Server  %s  %s  version %s\n", r.Server, p.paint(clean(health.text), health.state), clean(r.Version))
	p.printf("Shares  %d, %d Ready\n\n", r.Shares, r.Shares-len(r.NotReady))
	if len(r.Nodes) == 0 {
		p.printf("No nodes. Let one join with: smbgw node enrol-token NAME\n")
	} else {
		_ = a.nodes().printList(p, r.Nodes) // a table cannot fail
	}
	for i, s := range r.NotReady {
		if i == 0 {
			p.printf("\nShares that are not Ready:\n")
		}
		if i == 50 {
			p.printf("and %d more; see: smbgw share list --filter 'ready ne \"True\"'\n", len(r.NotReady)-i)
			break
		}
		p.printf("  %s  %s\n    %s\n", clean(s.Name), p.paint(s.Status.Phase, stateOf[s.Status.Phase]), clean(stillWhy(s)))
	}
}
