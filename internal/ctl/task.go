package ctl

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pve-smb-gateway/smbgw/client"
	"github.com/spf13/cobra"
)

func (a *app) tasks() *noun[struct{}, client.Task] {
	return &noun[struct{}, client.Task]{
		app: a, kind: "task", plural: "tasks", in: (*client.Client).Tasks, sort: "-createdAt",
		header: []string{"UID", "TITLE", "STATE", "DONE", "STARTED", "MESSAGE"},
		row: func(t client.Task) []cell {
			return []cell{text(t.UID), text(t.Title), stateCell(t.State), text(progressOf(t)), text(agoPointer(t.StartedAt)), text(t.Message)}
		},
		meta: func(t client.Task) client.Meta { return t.Meta },
		name: func(t client.Task) string { return t.UID },
	}
}

func progressOf(t client.Task) string { return fmt.Sprintf("%d/%d", t.Done, t.Total) }

func (a *app) taskCommand() *cobra.Command {
	n := a.tasks()
	byUID := func(use, short string, limit time.Duration, do func(ctx context.Context, c *client.Client, p *printer, uid string) error) *cobra.Command {
		return &cobra.Command{Use: use + " UID", Short: short, Args: args("UID"), ValidArgsFunction: n.complete(1),
			RunE: a.with(limit, func(ctx context.Context, c *client.Client, p *printer, args []string) error {
				return do(ctx, c, p, args[0])
			})}
	}
	return n.command("Tasks: long work on the server",
		n.list(),
		byUID("get", "Show a task with its parts", shortTime, func(ctx context.Context, c *client.Client, p *printer, uid string) error {
			t, err := c.Tasks().Get(ctx, uid)
			if err != nil {
				return err
			}
			return n.print(p, t)
		}),
		byUID("wait", "Wait until a task has ended", waitTime, func(ctx context.Context, c *client.Client, p *printer, uid string) error {
			t, err := c.Tasks().Get(ctx, uid)
			if err != nil {
				return err
			}
			return a.started(ctx, c, p, t, true)
		}),
		byUID("cancel", "Ask a task to stop", shortTime, func(ctx context.Context, c *client.Client, p *printer, uid string) error {
			t, err := c.CancelTask(ctx, uid)
			if err != nil {
				return err
			}
			p.notef("Asked the task to stop.\n")
			if p.json {
				return p.object(t)
			}
			return nil
		}))
}

// started prints a task that was just started, or waits for its end. A part that failed makes it fail.
func (a *app) started(ctx context.Context, c *client.Client, p *printer, t client.Task, wait bool) error {
	if !wait {
		p.notef("Started task %s. Follow it with: smbgw task wait %s\n", t.UID, t.UID)
		if p.json {
			return p.object(t)
		}
		return nil
	}
	bar := &progress{p: p}
	for !t.Finished() {
		bar.update(fmt.Sprintf("%s: %s %s", clean(t.Title), t.State, progressOf(t)))
		select {
		case <-ctx.Done():
			bar.end()
			return &notReadyError{fmt.Sprintf("the task %s has not ended in time (%s); it goes on", t.UID, progressOf(t))}
		case <-time.After(300 * time.Millisecond):
		}
		var err error
		if t, err = c.Tasks().Get(ctx, t.UID); err != nil {
			bar.end()
			return err
		}
	}
	bar.end()
	failed := slices.DeleteFunc(slices.Clone(t.Items), func(i client.TaskItem) bool { return i.OK })
	if p.json {
		if err := p.object(t); err != nil {
			return err
		}
	} else {
		p.printf("%s: %s %s\n", clean(t.Title), p.paint(t.State, stateOf[t.State]), progressOf(t))
		if len(failed) > 0 {
			rows := make([][]cell, len(failed))
			for i, f := range failed {
				rows[i] = []cell{text(f.Name), text(f.Detail)}
			}
			p.table([]string{"FAILED", "WHY"}, rows)
		}
	}
	if len(failed) > 0 || stateOf[t.State] == bad {
		return &notReadyError{strings.TrimSpace(fmt.Sprintf("the task ended as %s, %d parts failed. %s", t.State, len(failed), t.Message))}
	}
	return nil
}
