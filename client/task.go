package client

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Task is one run of long work.
type Task struct {
	Meta
	Kind       string     `json:"kind"`
	Title      string     `json:"title"`
	State      string     `json:"state"`
	Done       int        `json:"done"`
	Failed     int        `json:"failed"`
	Total      int        `json:"total"`
	Message    string     `json:"message"`
	StartedBy  string     `json:"startedBy"`
	StartedAt  *time.Time `json:"startedAt,omitempty"`
	FinishedAt *time.Time `json:"finishedAt,omitempty"`
	Items      []TaskItem `json:"items,omitempty"`
}

// TaskItem is the outcome of one part of a task.
type TaskItem struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"`
}

// Finished reports whether the task has ended, well or not.
func (t *Task) Finished() bool { return t.FinishedAt != nil && !t.FinishedAt.IsZero() }

// Tasks returns the tasks; they cannot be created or changed, only cancelled.
func (c *Client) Tasks() *Collection[struct{}, Task] {
	return &Collection[struct{}, Task]{c: c, kind: "task", path: "/tasks", names: func(t Task) (string, string) { return t.UID, t.Title }}
}

// CancelTask asks a task to stop.
func (c *Client) CancelTask(ctx context.Context, uid string) (Task, error) {
	var t Task
	err := c.do(ctx, call{method: http.MethodPost, path: "/tasks/" + url.PathEscape(uid) + "/cancel", into: &t})
	return t, err
}
