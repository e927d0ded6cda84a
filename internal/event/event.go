// Package event keeps the ordered log of what happened, and tells who caused it.
//
// Owns: the tables event_log and event_scope, [Log] (append in the transaction of the change, read from a cursor, wait),
// [Actor], and [Change] with the [Recorder] that rooms hand their changes to. Does not own: the audit trail (room audit),
// or sending events anywhere (package live, package link).
//
// Promises: events have gap-free numbers in commit order; a reader that goes on from the last number it has seen misses
// nothing, until the log is pruned behind it.
//
// Start reading at [Log.Append].
package event

import (
	"context"
	"embed"
	"errors"
	"sync"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/clock"
	"github.com/pve-smb-gateway/smbgw/internal/db"
	"github.com/pve-smb-gateway/smbgw/internal/logx"
	"github.com/uptrace/bun"
)

//go:embed migrations/*.sql
var files embed.FS

// Migrations make the tables of this package.
var Migrations = db.Migrations{Room: "event", FS: files}

// Actor is who causes a change.
type Actor struct {
	Kind       string `json:"kind" enum:"account,token,node,system" doc:"account: a person logged in; token: an API token"`
	UID        string `json:"uid,omitempty"`
	Name       string `json:"name"`
	RemoteAddr string `json:"remoteAddr,omitempty"`
}

// System is the actor of what the server does by itself.
var System = Actor{Kind: "system", Name: "server"}

type actorKey struct{}

// WithActor returns a context that names who acts.
func WithActor(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// ActorOf returns who acts in ctx, [System] if nobody else does.
func ActorOf(ctx context.Context) Actor {
	if a, ok := ctx.Value(actorKey{}).(Actor); ok {
		return a
	}
	return System
}

// Change is one change of one object's spec, as a room hands it over inside its transaction.
type Change struct {
	// Action is room.verb in the past tense, and the type of the event: "share.created".
	Action string
	Kind   string // the room: "share"
	UID    string
	Name   string
	// Revision is the object's new revision.
	Revision int64
	// Before and After are the object's public forms, without secrets; nil where there is none.
	Before, After any
	// Scopes are the nodes whose snapshots change: [Node] or [AllNodes].
	Scopes []string
}

// Recorder takes changes: it writes the audit row and the event in the transaction that ctx carries.
type Recorder interface {
	Record(ctx context.Context, c Change) error
}

// Node is the scope of what is in one node's snapshot.
func Node(uid string) string { return "node/" + uid }

// AllNodes is the scope of what is in every node's snapshot.
const AllNodes = "node/*"

// Event is one entry of the log.
type Event struct {
	bun.BaseModel `bun:"table:event_log" json:"-"`
	Seq           int64     `bun:"seq,pk" json:"seq"`
	Type          string    `bun:"type" json:"type"`
	Kind          string    `bun:"kind" json:"kind"`
	UID           string    `bun:"uid" json:"uid"`
	Name          string    `bun:"name" json:"name"`
	Revision      int64     `bun:"revision" json:"revision"`
	RequestID     string    `bun:"request_id" json:"requestID,omitempty"`
	At            time.Time `bun:"at" json:"at"`
	Scopes        []string  `bun:"-" json:"-"`
}

// ErrPruned is returned when a cursor lies before the oldest event that is kept: the reader must read everything anew.
var ErrPruned = errors.New("event: the log no longer reaches back to this cursor")

// Log is the event log. It is safe for concurrent use.
type Log struct {
	db    *db.DB
	clock clock.Clock

	mu   sync.Mutex
	wake chan struct{} // closed and replaced at each commit
}

// NewLog returns the log in d.
func NewLog(d *db.DB, c clock.Clock) *Log {
	return &Log{db: d, clock: c, wake: make(chan struct{})}
}

// Append writes events in the transaction that ctx carries. Seq, At and RequestID are set here.
func (l *Log) Append(ctx context.Context, events ...Event) error {
	if !db.InTx(ctx) {
		return errors.New("event: append outside a transaction")
	}
	if len(events) == 0 {
		return nil
	}
	conn := l.db.Conn(ctx)
	// One row counts all events. Its lock makes numbers gap-free and in commit order on both engines.
	var last int64
	if err := conn.NewRaw("UPDATE event_scope SET seq = seq + ? WHERE scope = '' RETURNING seq", len(events)).Scan(ctx, &last); err != nil {
		return err
	}
	first, now := last-int64(len(events))+1, l.clock.Now()
	scopes := map[string]int64{}
	for i := range events {
		e := &events[i]
		e.Seq, e.At, e.RequestID = first+int64(i), now, logx.RequestID(ctx)
		for _, s := range e.Scopes {
			scopes[s] = e.Seq
		}
	}
	if _, err := conn.NewInsert().Model(&events).Exec(ctx); err != nil {
		return err
	}
	for s, seq := range scopes {
		if _, err := conn.NewRaw(`INSERT INTO event_scope (scope, seq) VALUES (?, ?)
			ON CONFLICT (scope) DO UPDATE SET seq = excluded.seq`, s, seq).Exec(ctx); err != nil {
			return err
		}
	}
	db.AfterCommit(ctx, l.Wake)
	return nil
}

// Wake makes every waiting reader look again.
func (l *Log) Wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.wake)
	l.wake = make(chan struct{})
}

// Changed returns a channel that is closed at the next commit of events. Take it before reading, so that nothing is
// missed between reading and waiting. Other processes on the same store are not seen: poll as well.
func (l *Log) Changed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.wake
}

// Head returns the number of the newest event, 0 if there is none.
func (l *Log) Head(ctx context.Context) (int64, error) { return l.Number(ctx, "") }

// Number returns the number of the newest event in any of these scopes. Read it in the same transaction as the content
// it shall stand for.
func (l *Log) Number(ctx context.Context, scopes ...string) (int64, error) {
	var n int64
	err := l.db.Conn(ctx).NewRaw("SELECT COALESCE(MAX(seq), 0) FROM event_scope WHERE scope IN (?)", bun.List(scopes)).Scan(ctx, &n)
	return n, err
}

// After returns up to limit events behind cursor, oldest first, or [ErrPruned].
func (l *Log) After(ctx context.Context, cursor int64, limit int) ([]Event, error) {
	var events []Event
	err := l.db.Read(ctx, func(ctx context.Context) error {
		conn := l.db.Conn(ctx)
		events = nil
		if err := conn.NewSelect().Model(&events).Where("seq > ?", cursor).Order("seq").Limit(int64(limit)).Scan(ctx); err != nil {
			return err
		}
		head, err := l.Head(ctx)
		if err != nil {
			return err
		}
		if cursor > head || (len(events) > 0 && events[0].Seq != cursor+1) || (len(events) == 0 && cursor < head) {
			return ErrPruned
		}
		return nil
	})
	return events, err
}

// Prune drops all but the newest keep events.
func (l *Log) Prune(ctx context.Context, keep int64) error {
	return l.db.Tx(ctx, func(ctx context.Context) error {
		_, err := l.db.Conn(ctx).NewRaw(
			"DELETE FROM event_log WHERE seq <= (SELECT seq FROM event_scope WHERE scope = '') - ?", keep).Exec(ctx)
		return err
	})
}
