package task

import (
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/db"
	"github.com/pve-smb-gateway/smbgw/internal/event"
	"github.com/pve-smb-gateway/smbgw/internal/object"
	"github.com/pve-smb-gateway/smbgw/internal/problem"
	"github.com/uptrace/bun"
)

//go:embed migrations/*.sql
var files embed.FS

// Migrations make the tables of this room.
var Migrations = db.Migrations{Room: "task", FS: files}

type row struct {
	bun.BaseModel `bun:"table:task_run"`
	UID           string     `bun:"uid,pk"`
	Revision      int64      `bun:"revision"`
	CreatedAt     time.Time  `bun:"created_at"`
	UpdatedAt     time.Time  `bun:"updated_at"`
	Kind          string     `bun:"kind"`
	Title         string     `bun:"title"`
	State         State      `bun:"state"`
	Done          int        `bun:"done"`
	Failed        int        `bun:"failed"`
	Total         int        `bun:"total"`
	Message       string     `bun:"message"`
	StartedAt     *time.Time `bun:"started_at"`
	FinishedAt    *time.Time `bun:"finished_at"`
	Actor         string     `bun:"actor"`
	RequestID     string     `bun:"request_id"`
	Payload       string     `bun:"payload"`
	Holder        string     `bun:"holder"`
	HeldUntil     time.Time  `bun:"held_until"`
	Attempt       int        `bun:"attempt"`
	Search        string     `bun:"search"`
}

type itemRow struct {
	bun.BaseModel `bun:"table:task_item"`
	TaskUID       string `bun:"task_uid,pk"`
	N             int    `bun:"n,pk"`
	Name          string `bun:"name"`
	OK            bool   `bun:"ok"`
	Detail        string `bun:"detail"`
}

func (r *row) actor() event.Actor {
	a := event.System
	if json.Unmarshal([]byte(r.Actor), &a) != nil {
		return event.System // written by nobody but insert
	}
	return a
}

func (r *row) task() Task {
	utc := func(t *time.Time) *time.Time {
		if t == nil {
			return nil
		}
		u := t.UTC()
		return &u
	}
	return Task{
		Meta: object.Meta{UID: r.UID, Generation: 1, Revision: r.Revision, CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC()},
		Kind: r.Kind, Title: r.Title, State: r.State, Done: r.Done, Failed: r.Failed, Total: r.Total, Message: r.Message,
		StartedBy: r.actor().Name, StartedAt: utc(r.StartedAt), FinishedAt: utc(r.FinishedAt),
	}
}

func purpose(uid string) string { return "task.payload." + uid }

var fields = db.Fields{
	Columns: map[string]string{"kind": "kind", "title": "title", "state": "state", "done": "done", "failed": "failed", "createdAt": "created_at", "updatedAt": "updated_at"},
	Search:  []string{"search"}, Default: "-createdAt", UID: "uid",
}

type store struct{ db *db.DB }

func (s store) list(ctx context.Context, q db.ListQuery) (db.Page[Task], error) {
	var rows []row
	next, total, err := db.List(ctx, s.db.Conn(ctx).NewSelect().Model(&rows).ExcludeColumn("payload"), fields, q, &rows, func(r *row, field string) any {
		return map[string]any{
			"uid": r.UID, "kind": r.Kind, "title": r.Title, "state": r.State, "done": r.Done, "failed": r.Failed,
			"createdAt": r.CreatedAt, "updatedAt": r.UpdatedAt,
		}[field]
	})
	page := db.Page[Task]{Items: make([]Task, len(rows)), NextCursor: next, Total: total}
	for i := range rows {
		page.Items[i] = rows[i].task()
	}
	return page, err
}

func (s store) get(ctx context.Context, uid string) (row, error) {
	var r row
	err := s.db.Conn(ctx).NewSelect().Model(&r).Where("uid = ?", uid).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		err = problem.NotFound("task", uid)
	}
	return r, err
}

func (s store) items(ctx context.Context, uid string) ([]Item, error) {
	var rows []itemRow
	if err := s.db.Conn(ctx).NewSelect().Model(&rows).Where("task_uid = ?", uid).Order("n").Scan(ctx); err != nil {
		return nil, err
	}
	items := make([]Item, len(rows))
	for i, r := range rows {
		items[i] = Item{Name: r.Name, OK: r.OK, Detail: r.Detail}
	}
	return items, nil
}

func (s store) insert(ctx context.Context, r *row) error {
	r.Search = strings.ToLower(r.Title + "\n" + r.Kind + "\n" + r.actor().Name)
	_, err := s.db.Conn(ctx).NewInsert().Model(r).Exec(ctx)
	return err
}

func (s store) insertItems(ctx context.Context, rows []itemRow) error {
	for part := range slices.Chunk(rows, 500) {
		if _, err := s.db.Conn(ctx).NewInsert().Model(&part).Exec(ctx); err != nil {
			return err
		}
	}
	return nil
}

// due returns a task of these kinds that nobody holds and that may run now, or nil.
func (s store) due(ctx context.Context, kinds []string, now time.Time) (*row, error) {
	var r row
	err := s.db.Conn(ctx).NewSelect().Model(&r).Where("kind IN (?)", bun.List(kinds)).
		Where("state IN (?)", bun.List([]State{Queued, Running})).Where("held_until <= ?", now).
		Order("created_at", "uid").Limit(1).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return &r, err
}

// hold makes holder the one who runs r, unless somebody else was faster. r is as [store.due] has found it.
func (s store) hold(ctx context.Context, r *row, holder string, now, until time.Time) (bool, error) {
	return changed(s.db.Conn(ctx).NewRaw(`UPDATE task_run SET state = ?, holder = ?, held_until = ?, attempt = attempt + 1,
		started_at = COALESCE(started_at, ?), updated_at = ?
		WHERE uid = ? AND state = ? AND holder = ? AND held_until <= ?`,
		Running, holder, until, now, now, r.UID, r.State, r.Holder, now).Exec(ctx))
}

// keep extends the hold; false if it is lost.
func (s store) keep(ctx context.Context, uid, holder string, until time.Time) (bool, error) {
	return changed(s.db.Conn(ctx).NewRaw("UPDATE task_run SET held_until = ? WHERE uid = ? AND holder = ? AND state = ?",
		until, uid, holder, Running).Exec(ctx))
}

// progress writes how far the holder is. A step done starts the count of attempts anew.
func (s store) progress(ctx context.Context, uid string, done, failed int, now time.Time) error {
	_, err := s.db.Conn(ctx).NewRaw("UPDATE task_run SET done = ?, failed = ?, attempt = 1, updated_at = ? WHERE uid = ?",
		done, failed, now, uid).Exec(ctx)
	return err
}

// release gives r up until it may be taken again. countless takes this attempt back.
func (s store) release(ctx context.Context, uid, holder, message string, until time.Time, countless bool) error {
	attempt := 0
	if countless {
		attempt = 1
	}
	_, err := s.db.Conn(ctx).NewRaw(`UPDATE task_run SET held_until = ?, message = ?, attempt = attempt - ?
		WHERE uid = ? AND holder = ? AND state = ?`, until, message, attempt, uid, holder, Running).Exec(ctx)
	return err
}

// finish ends a task that is not ended yet; holder is not looked at when it is "". false if it had ended, or was lost.
func (s store) finish(ctx context.Context, uid, holder string, state State, message string, now time.Time) (bool, error) {
	q := s.db.Conn(ctx).NewUpdate().Model((*row)(nil)).Where("uid = ?", uid).Where("state IN (?)", bun.List([]State{Queued, Running})).
		Set("state = ?", state).Set("message = ?", message).Set("finished_at = ?", now).Set("updated_at = ?", now).
		Set("payload = ''").Set("revision = revision + 1")
	if holder != "" {
		q = q.Where("holder = ?", holder)
	}
	return changed(q.Exec(ctx))
}

func changed(res sql.Result, err error) (bool, error) {
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n > 0, err
}
