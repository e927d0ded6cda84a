package task

import (
	"context"
	"encoding/json"
	"time"
)

// eventEvery is the least time between two events on a task's progress.
const eventEvery = 500 * time.Millisecond

// Run is one attempt at a task, in the hands of its [Handler]. It is not safe for concurrent use.
type Run struct {
	s       *Service
	row     *row
	payload string
	told    time.Time // of the last event
}

// Payload reads what the task was started with into v.
func (r *Run) Payload(v any) error { return json.Unmarshal([]byte(r.payload), v) }

// Done is how many items are finished, in this and in earlier attempts.
func (r *Run) Done() int { return r.row.Done }

// Step runs fn in a transaction that writes; report tells the result of one item of it. What fn changes and what it
// reports are committed together, and only if this server still holds the task. Steps should take well under a second:
// on SQLite nobody else can write meanwhile. fn may be called again after a conflict.
func (r *Run) Step(ctx context.Context, fn func(ctx context.Context, report func(name string, ok bool, detail string)) error) error {
	var done, failed int
	tell := false
	err := r.s.DB.Tx(ctx, func(ctx context.Context) error {
		now := r.s.Clock.Now()
		held, err := r.s.store.keep(ctx, r.row.UID, r.row.Holder, now.Add(r.s.Lease))
		if err != nil {
			return err
		}
		if !held {
			return errLost
		}
		done, failed = r.row.Done, r.row.Failed
		var items []itemRow
		err = fn(ctx, func(name string, ok bool, detail string) {
			items = append(items, itemRow{TaskUID: r.row.UID, N: done, Name: name, OK: ok, Detail: detail})
			done++
			if !ok {
				failed++
			}
		})
		if err != nil {
			return err
		}
		if err := r.s.store.progress(ctx, r.row.UID, done, failed, now); err != nil {
			return err
		}
		if err := r.s.store.insertItems(ctx, items); err != nil {
			return err
		}
		if tell = now.Sub(r.told) >= eventEvery; tell {
			return r.s.changed(ctx, r.row)
		}
		return nil
	})
	if err != nil {
		return err
	}
	r.row.Done, r.row.Failed, r.row.Attempt = done, failed, 1
	if tell {
		r.told = r.s.Clock.Now()
	}
	return nil
}
