package reconcile

import (
	"context"
	"errors"
	"fmt"

	"github.com/pve-smb-gateway/smbgw/internal/desired"
	"github.com/pve-smb-gateway/smbgw/internal/samba"
)

// Result is what a pass has done. Outcomes hold the problems met on the way as well as those of the plan.
type Result struct {
	Plan
	// Done counts the steps that succeeded.
	Done int
}

// Options are what a pass needs besides the snapshot.
type Options struct {
	Node   Node
	Policy Policy
	// LastEpoch is what Remember was last called with, also before a restart; empty at first.
	LastEpoch string
	// Remember stores the store epoch that the node has accepted, before anything is done by it. It may be nil.
	Remember func(epoch string) error
}

// Pass observes, plans and walks the steps. It returns a result even with an error, which tells of steps that failed
// for reasons that no share is to blame for; the next pass tries them again. Only one pass at a time may use d.
func Pass(ctx context.Context, d samba.Driver, snap *desired.Snapshot, o Options) (Result, error) {
	in := Input{Snapshot: snap, Node: o.Node, LastEpoch: o.LastEpoch, Policy: o.Policy}
	var err error
	if in.Observed, err = d.Observe(ctx); err != nil {
		return Result{}, fmt.Errorf("reconcile: observe: %w", err)
	}
	var candidates []samba.Candidate
	for _, s := range snap.Shares {
		if section, p := Render(s, o.Node); p == nil {
			candidates = append(candidates, samba.Candidate{Section: section, CreatePath: s.CreatePath})
		}
	}
	if in.Facts, err = d.Check(ctx, candidates); err != nil {
		return Result{}, fmt.Errorf("reconcile: check: %w", err)
	}
	r := Result{Plan: Make(in)}
	if r.Epoch != o.LastEpoch && o.Remember != nil {
		if err := o.Remember(r.Epoch); err != nil {
			return r, fmt.Errorf("reconcile: remember the store epoch: %w", err)
		}
	}
	return r, r.apply(ctx, d)
}

// apply walks the steps. A share whose path or section fails is left out of what follows; everything else goes on.
func (r *Result) apply(ctx context.Context, d samba.Driver) error {
	var errs []error
	failed := map[string]bool{} // UIDs
	fail := func(uid string, p *samba.Problem) {
		failed[uid] = true
		for n := range r.Outcomes {
			if r.Outcomes[n].Kind == desired.KindShare && r.Outcomes[n].UID == uid && r.Outcomes[n].Problem == nil {
				r.Outcomes[n].Problem = p
			}
		}
	}
	for _, s := range r.Steps {
		var err error
		switch s.Kind {
		case SyncAccounts:
			err = d.SyncAccounts(ctx, s.Accounts)
		case EnsurePath:
			if pathErr := d.EnsurePath(ctx, s.Path); pathErr != nil {
				fail(s.Share, problem("share.path_not_created", "The directory %s could not be created: %v. Create it on the node, or correct the path.", s.Path, pathErr))
				continue
			}
		case PutSections, SettleSections:
			budget := maxPuts
			err = put(ctx, d, s.Sections, &budget, failed, fail)
		case CloseShares:
			err = d.CloseShares(ctx, s.Names)
		case RemoveSections:
			err = d.RemoveSections(ctx, s.Names)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("reconcile: %s: %w", s.Kind, err))
			if s.Kind == CloseShares || ctx.Err() != nil {
				break // what comes after would make us forget whom to disconnect
			}
			continue
		}
		r.Done++
	}
	return errors.Join(errs...)
}

// maxPuts bounds how many calls it may take to find the sections that cannot be written: if the disk is full it is none
// of them, and asking one by one would take minutes.
const maxPuts = 64

// put writes sections in one batch; if that fails, in halves, to find which one cannot be written.
func put(ctx context.Context, d samba.Driver, sections []samba.Section, budget *int, failed map[string]bool, fail func(string, *samba.Problem)) error {
	var todo []samba.Section
	for _, s := range sections {
		if !failed[s.ID] {
			todo = append(todo, s)
		}
	}
	if len(todo) == 0 {
		return nil
	}
	*budget--
	err := d.PutSections(ctx, todo)
	if err == nil || ctx.Err() != nil || *budget <= 0 {
		return err
	}
	if len(todo) == 1 {
		fail(todo[0].ID, problem("share.not_written", "Samba did not take the share: %v. Correct its settings.", err))
		return err
	}
	half := len(todo) / 2
	return errors.Join(put(ctx, d, todo[:half], budget, failed, fail), put(ctx, d, todo[half:], budget, failed, fail))
}
