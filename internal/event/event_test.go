package event_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/pve-smb-gateway/smbgw/internal/clock"
	"github.com/pve-smb-gateway/smbgw/internal/db"
	"github.com/pve-smb-gateway/smbgw/internal/db/dbtest"
	"github.com/pve-smb-gateway/smbgw/internal/event"
)

func TestLog(t *testing.T) {
	dbtest.Each(t, []db.Migrations{event.Migrations}, func(t *testing.T, d *db.DB) {
		ctx := t.Context()
		log := event.NewLog(d, clock.System)
		if err := log.Append(ctx, event.Event{Type: "x"}); err == nil {
			t.Error("append outside a transaction was accepted")
		}
		// Concurrent writers, some rolled back: numbers stay gap-free.
		const writers, each = 8, 20
		rollback := errors.New("roll back")
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for i := range each {
					err := d.Tx(ctx, func(ctx context.Context) error {
						if err := log.Append(ctx, event.Event{Type: "share.changed", Scopes: []string{event.Node("a")}}); err != nil {
							return err
						}
						if (w+i)%4 == 0 {
							return rollback
						}
						return nil
					})
					if err != nil && !errors.Is(err, rollback) {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		got, err := log.After(ctx, 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if want := writers * each * 3 / 4; len(got) != want {
			t.Fatalf("%d events, want %d", len(got), want)
		}
		for i, e := range got {
			if e.Seq != int64(i)+1 {
				t.Fatalf("event %d has number %d", i, e.Seq)
			}
		}
		head, err := log.Head(ctx)
		if err != nil || head != int64(len(got)) {
			t.Fatalf("head %d, %v", head, err)
		}
		if n, err := log.Number(ctx, event.Node("a"), event.AllNodes); err != nil || n != head {
			t.Errorf("scope number %d, %v", n, err)
		}
		if n, err := log.Number(ctx, event.Node("b")); err != nil || n != 0 {
			t.Errorf("number of an unknown scope %d, %v", n, err)
		}
		if err := log.Prune(ctx, 10); err != nil {
			t.Fatal(err)
		}
		if _, err := log.After(ctx, 5, 10); !errors.Is(err, event.ErrPruned) {
			t.Errorf("a cursor before the kept events: %v", err)
		}
		if _, err := log.After(ctx, head+1, 10); !errors.Is(err, event.ErrPruned) {
			t.Errorf("a cursor from the future: %v", err)
		}
		if ev, err := log.After(ctx, head-10, 100); err != nil || len(ev) != 10 {
			t.Errorf("%d events after prune, %v", len(ev), err)
		}
	})
}

func TestWake(t *testing.T) {
	d := dbtest.SQLite(t, event.Migrations)
	log := event.NewLog(d, clock.System)
	changed := log.Changed()
	err := d.Tx(t.Context(), func(ctx context.Context) error {
		if err := log.Append(ctx, event.Event{Type: "x"}); err != nil {
			return err
		}
		select {
		case <-changed:
			t.Error("woken before the commit")
		default:
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	<-changed
}
