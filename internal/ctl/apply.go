package ctl

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pve-smb-gateway/smbgw/client"
	"github.com/spf13/cobra"
)

// workers is how many changes are under way at once. The server writes one at a time; what is gained is the way there.
const workers = 16

// prune says which objects that no document names are to be deleted, per kind: a filter of the API, or "all".
type prune map[*kind]string

func (a *app) applyCommand() *cobra.Command {
	var files []string
	var dryRun, wait, yes bool
	filters := map[*kind]*string{}
	cmd := &cobra.Command{
		Use: "apply -f FILE", Short: "Make the server match YAML or JSON documents", Args: args(),
		Long: "Creates and changes users, groups and shares until they match the documents. What a document leaves out stays as it is.\n" +
			"Nothing is deleted, unless --prune-shares (or -users, -groups) says among which objects to look for those that no document names.",
		Example: "  smbgw apply -f shares.yaml --dry-run\n  smbgw apply -f shares/ --wait\n  smbgw apply -f - --prune-shares 'name startswith \"team-\"'",
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		docs, err := readDocuments(cmd, files)
		if err != nil {
			return err
		}
		cut := prune{}
		for k, f := range filters {
			if cmd.Flags().Changed("prune-" + k.noun + "s") {
				if strings.TrimSpace(*f) == "" {
					return usage("--prune-%ss needs a filter, or the word all", k.noun)
				}
				cut[k] = *f
			}
		}
		return a.with(waitTime, func(ctx context.Context, c *client.Client, p *printer, _ []string) error {
			pl, err := newPlan(ctx, c, docs, cut)
			if err != nil {
				return err
			}
			if dryRun {
				return pl.print(p, true)
			}
			if err := pl.print(p, false); err != nil {
				return err
			}
			if n := pl.count(actionDelete); n > 0 {
				if err := confirm(cmd, yes, fmt.Sprintf("Delete %d objects that no document names? Files stay.", n)); err != nil {
					return err
				}
			}
			return pl.run(ctx, c, p, wait)
		})(cmd, nil)
	}
	f := cmd.Flags()
	f.StringSliceVarP(&files, "filename", "f", nil, "file, directory, or - for standard input (may be repeated)")
	f.BoolVar(&dryRun, "dry-run", false, "show what would change, and change nothing")
	f.BoolVar(&wait, "wait", false, "wait until all shares in the documents are Ready")
	f.BoolVarP(&yes, "yes", "y", false, "do not ask before deleting")
	for _, k := range declarable() {
		filters[k] = f.String("prune-"+k.noun+"s", "", "delete "+k.noun+"s that fit this filter (or: all) and are in no document")
	}
	_ = cmd.MarkFlagRequired("filename") // fails only for unknown flags
	_ = cmd.MarkFlagFilename("filename", "yaml", "yml", "json")
	return cmd
}

func (a *app) diffCommand() *cobra.Command {
	var files []string
	var asExit bool
	cmd := &cobra.Command{
		Use: "diff -f FILE", Short: "Show what apply would change", Args: args(),
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		docs, err := readDocuments(cmd, files)
		if err != nil {
			return err
		}
		return a.with(shortTime, func(ctx context.Context, c *client.Client, p *printer, _ []string) error {
			pl, err := newPlan(ctx, c, docs, nil)
			if err != nil {
				return err
			}
			if err := pl.print(p, true); err != nil {
				return err
			}
			if asExit && pl.changes() > 0 {
				return errors.New("the server differs from the documents")
			}
			return nil
		})(cmd, nil)
	}
	f := cmd.Flags()
	f.StringSliceVarP(&files, "filename", "f", nil, "file, directory, or - for standard input (may be repeated)")
	f.BoolVar(&asExit, "exit-code", false, "exit with 1 if anything differs")
	_ = cmd.MarkFlagRequired("filename") // fails only for unknown flags
	_ = cmd.MarkFlagFilename("filename", "yaml", "yml", "json")
	return cmd
}

// action is what is done to one object.
type action string

const (
	actionCreate action = "create"
	actionChange action = "change"
	actionDelete action = "delete"
	actionNone   action = "none"
)

// change is one step of a plan.
type change struct {
	Action action                `json:"action"`
	Kind   string                `json:"kind"`
	Name   string                `json:"name"`
	Fields map[string]fieldDelta `json:"fields,omitempty"`
	Error  *client.Problem       `json:"error,omitempty"`

	kind   *kind
	want   map[string]any
	have   *item
	patch  map[string]any
	source string
	result item
	err    error
}

type fieldDelta struct {
	From any `json:"from,omitempty"`
	To   any `json:"to,omitempty"`
}

// plan is what an apply does.
type plan struct{ steps []*change }

// newPlan compares the documents with the server.
func newPlan(ctx context.Context, c *client.Client, docs []document, cut prune) (*plan, error) {
	pl := &plan{}
	for _, k := range declarable() {
		mine := slices.DeleteFunc(slices.Clone(docs), func(d document) bool { return d.kind != k })
		if _, pruned := cut[k]; len(mine) == 0 && !pruned {
			continue
		}
		items, err := k.list(ctx, c, "")
		if err != nil {
			return nil, err
		}
		byName := make(map[string]*item, len(items))
		for i := range items {
			byName[key(items[i].name)] = &items[i]
		}
		for _, d := range mine {
			pl.steps = append(pl.steps, compare(d, byName[key(d.name())]))
			delete(byName, key(d.name()))
		}
		if filter, ok := cut[k]; ok {
			gone, err := pruned(ctx, c, k, filter, byName)
			if err != nil {
				return nil, err
			}
			pl.steps = append(pl.steps, gone...)
		}
	}
	return pl, nil
}

func pruned(ctx context.Context, c *client.Client, k *kind, filter string, undeclared map[string]*item) ([]*change, error) {
	if filter == "all" {
		filter = ""
	}
	items, err := k.list(ctx, c, filter)
	if err != nil {
		return nil, err
	}
	var out []*change
	for _, it := range items {
		if it.share != nil && it.share.Status.Phase == client.Deleting {
			continue
		}
		if _, ok := undeclared[key(it.name)]; ok {
			out = append(out, &change{Action: actionDelete, Kind: k.name, Name: it.name, kind: k, have: &it})
		}
	}
	return out, nil
}

func compare(d document, have *item) *change {
	ch := &change{Action: actionCreate, Kind: d.kind.name, Name: d.name(), kind: d.kind, want: d.fields, have: have, source: d.source, Fields: map[string]fieldDelta{}}
	if have == nil {
		for name, v := range d.fields {
			if f := d.kind.field(name); name != "name" && !f.secret {
				ch.Fields[name] = fieldDelta{To: v}
			} else if f.secret {
				ch.Fields[name] = fieldDelta{To: "(not shown)"}
			}
		}
		return ch
	}
	ch.patch = d.kind.patchTo(have.fields, d.fields)
	ch.Action = actionChange
	if len(ch.patch) == 0 {
		ch.Action, ch.Fields = actionNone, nil
		return ch
	}
	for name := range ch.patch {
		ch.Fields[name] = fieldDelta{From: have.fields[name], To: d.fields[name]}
	}
	return ch
}

func (pl *plan) count(a action) int {
	n := 0
	for _, s := range pl.steps {
		if s.Action == a {
			n++
		}
	}
	return n
}

func (pl *plan) changes() int { return len(pl.steps) - pl.count(actionNone) }

// summary says the plan in one line.
func (pl *plan) summary(done bool) string {
	words := [3]string{"to create", "to change", "to delete"}
	if done {
		words = [3]string{"created", "changed", "deleted"}
	}
	return fmt.Sprintf("%d %s, %d %s, %d %s, %d as declared", pl.count(actionCreate), words[0], pl.count(actionChange), words[1],
		pl.count(actionDelete), words[2], pl.count(actionNone))
}

// print shows the plan. With --json it is printed only when it is all that comes.
func (pl *plan) print(p *printer, only bool) error {
	if p.json {
		if only {
			return p.object(pl.report())
		}
		return nil
	}
	for _, s := range pl.steps {
		switch s.Action {
		case actionCreate:
			p.printf("%s\n", p.paint("+ "+s.Kind+" "+clean(s.Name), good))
		case actionChange:
			p.printf("%s\n", p.paint("~ "+s.Kind+" "+clean(s.Name), busy))
		case actionDelete:
			p.printf("%s\n", p.paint("- "+s.Kind+" "+clean(s.Name), bad))
		}
		for _, f := range s.kind.fields {
			d, ok := s.Fields[f.name]
			switch {
			case !ok:
			case s.Action == actionCreate:
				p.printf("    %s: %s\n", f.name, clean(show(d.To)))
			default:
				p.printf("    %s: %s -> %s\n", f.name, clean(show(d.From)), clean(show(d.To)))
			}
		}
	}
	if only {
		p.printf("%s.\n", pl.summary(false))
	}
	return nil
}

// show writes a value in one line.
func show(v any) string {
	switch v := v.(type) {
	case nil:
		return "-"
	case string:
		return fmt.Sprintf("%q", v)
	case []any:
		parts := make([]string, len(v))
		for i, item := range v {
			parts[i] = fmt.Sprint(item)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case map[string]any:
		var parts []string
		for _, k := range slices.Sorted(maps.Keys(v)) {
			parts = append(parts, fmt.Sprintf("%s = %v", k, v[k]))
		}
		return "{" + strings.Join(parts, "; ") + "}"
	}
	return fmt.Sprint(v)
}

type applyReport struct {
	Changes []*change `json:"changes"`
	Summary struct {
		Created   int `json:"create"`
		Changed   int `json:"change"`
		Deleted   int `json:"delete"`
		Unchanged int `json:"unchanged"`
		Failed    int `json:"failed"`
	} `json:"summary"`
}

func (pl *plan) report() applyReport {
	r := applyReport{Changes: []*change{}}
	for _, s := range pl.steps {
		if s.Action != actionNone {
			r.Changes = append(r.Changes, s)
		}
		if s.err != nil {
			r.Summary.Failed++
		}
	}
	r.Summary.Created, r.Summary.Changed = pl.count(actionCreate), pl.count(actionChange)
	r.Summary.Deleted, r.Summary.Unchanged = pl.count(actionDelete), pl.count(actionNone)
	return r
}

// run carries the plan out and waits, if told so, for every share of the documents.
func (pl *plan) run(ctx context.Context, c *client.Client, p *printer, wait bool) error {
	var w *waiter
	if wait {
		var err error
		if w, err = startWaiting(ctx, c, p); err != nil {
			return err
		}
		defer w.close()
	}
	began := time.Now()
	bar := &progress{p: p}
	for _, stage := range pl.stages() {
		pl.stage(ctx, c, bar, stage)
	}
	bar.end()
	err := pl.failure()
	if err == nil {
		p.notef("%s (%s).\n", pl.summary(true), time.Since(began).Round(10*time.Millisecond))
	}
	if w != nil {
		for _, s := range pl.steps {
			if s.kind == shareKind && s.Action != actionDelete && s.err == nil && s.result.share != nil {
				w.add(*s.result.share)
			}
		}
		if len(w.targets) > 0 {
			err = errors.Join(err, w.run(ctx))
		}
	}
	if p.json {
		err = errors.Join(p.object(pl.report()), err)
	}
	return err
}

// job does one part of one change.
type job struct {
	step *change
	do   func(ctx context.Context, c *client.Client) (item, error)
}

// stages orders the work: groups without members, users (who may name groups), members, shares (which name both); then
// deletions, the other way round.
func (pl *plan) stages() [][]job {
	var newGroups, users, members, shares, dropShares, dropGroups, dropUsers []job
	for _, s := range pl.steps {
		create := job{s, func(ctx context.Context, c *client.Client) (item, error) { return s.kind.create(ctx, c, s.want) }}
		alter := job{s, func(ctx context.Context, c *client.Client) (item, error) {
			return s.kind.patch(ctx, c, s.have.meta, s.patch)
		}}
		drop := job{s, func(ctx context.Context, c *client.Client) (item, error) {
			return *s.have, s.kind.remove(ctx, c, s.have.meta.UID)
		}}
		switch {
		case s.Action == actionNone:
			s.result = *s.have
		case s.Action == actionDelete && s.kind == shareKind:
			dropShares = append(dropShares, drop)
		case s.Action == actionDelete && s.kind == groupKind:
			dropGroups = append(dropGroups, drop)
		case s.Action == actionDelete:
			dropUsers = append(dropUsers, drop)
		case s.kind == groupKind && s.Action == actionCreate:
			bare := maps.Clone(s.want)
			delete(bare, "members")
			newGroups = append(newGroups, job{s, func(ctx context.Context, c *client.Client) (item, error) { return s.kind.create(ctx, c, bare) }})
			if list, _ := s.want["members"].([]any); len(list) > 0 {
				members = append(members, job{s, func(ctx context.Context, c *client.Client) (item, error) {
					return s.setMembers(ctx, c, s.result.meta.UID, map[string]any{"members": list})
				}})
			}
		case s.kind == groupKind:
			members = append(members, job{s, func(ctx context.Context, c *client.Client) (item, error) {
				return s.setMembers(ctx, c, s.have.meta.UID, s.patch)
			}})
		case s.kind == userKind && s.Action == actionCreate:
			users = append(users, create)
		case s.kind == userKind:
			users = append(users, alter)
		case s.Action == actionCreate:
			shares = append(shares, create)
		default:
			shares = append(shares, alter)
		}
	}
	return [][]job{newGroups, users, members, shares, dropShares, dropGroups, dropUsers}
}

// setMembers changes a group whatever state it is in: users that were just written and name the group have changed it.
func (s *change) setMembers(ctx context.Context, c *client.Client, uid string, patch map[string]any) (item, error) {
	return s.kind.patch(ctx, c, client.Meta{UID: uid}, patch)
}

// stage does its jobs side by side. A failed one does not stop the others.
func (pl *plan) stage(ctx context.Context, c *client.Client, bar *progress, jobs []job) {
	queue := make(chan job)
	var mu sync.Mutex
	var wg sync.WaitGroup
	done := 0
	for range min(workers, len(jobs)) {
		wg.Go(func() {
			for j := range queue {
				if j.step.err != nil { // its first part failed
					continue
				}
				result, err := j.do(ctx, c)
				mu.Lock()
				j.step.result, j.step.err = result, err
				if err != nil {
					j.step.Error = problemOf(err)
				}
				done++
				bar.update(fmt.Sprintf("%d of %d %ss written", done, len(jobs), j.step.kind.noun))
				mu.Unlock()
			}
		})
	}
	for _, j := range jobs {
		queue <- j
	}
	close(queue)
	wg.Wait()
}

// failure returns what went wrong, named by document; nil if nothing did.
func (pl *plan) failure() error {
	var lines []string
	var first error
	for _, s := range pl.steps {
		if s.err == nil {
			continue
		}
		if first == nil {
			first = s.err
		}
		line := fmt.Sprintf("%s %s: %s", s.Kind, clean(s.Name), clean(s.err.Error()))
		if s.source != "" {
			line += " (" + s.source + ")"
		}
		lines = append(lines, line)
	}
	if first == nil {
		return nil
	}
	n := len(lines)
	if const20 := 20; n > const20 {
		lines = append(lines[:const20], fmt.Sprintf("and %d more", n-const20))
	}
	return &applyError{text: fmt.Sprintf("%d of %d changes failed, the others were made:\n  %s", n, pl.changes(), strings.Join(lines, "\n  ")), first: first}
}

// applyError sums up failed changes; its exit code is that of the first.
type applyError struct {
	text  string
	first error
}

func (e *applyError) Error() string { return e.text }
func (e *applyError) Unwrap() error { return e.first }
