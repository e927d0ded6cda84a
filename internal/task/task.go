package task

import (
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/object"
)

// State of a task.
type State string

// States. The last three are final.
const (
	Queued    State = "queued"
	Running   State = "running"
	Done      State = "done"
	Failed    State = "failed"
	Cancelled State = "cancelled"
)

// Task is one run of long work. A task that is done may still have items that failed.
type Task struct {
	object.Meta
	Kind       string     `json:"kind" example:"user.import"`
	Title      string     `json:"title" example:"Import of 40 users"`
	State      State      `json:"state" enum:"queued,running,done,failed,cancelled"`
	Done       int        `json:"done" doc:"Items that are finished, well or not"`
	Failed     int        `json:"failed" doc:"Items that did not go well"`
	Total      int        `json:"total" doc:"Items in all; 0 if that is not known"`
	Message    string     `json:"message" doc:"A sentence for people on how it stands or ended"`
	StartedBy  string     `json:"startedBy" doc:"Name of who started it"`
	StartedAt  *time.Time `json:"startedAt,omitempty"`
	FinishedAt *time.Time `json:"finishedAt,omitempty"`
	// Items are only in the answer for one task, not in lists.
	Items []Item `json:"items,omitempty"`
}

// Item is the result of one part of a task.
type Item struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"`
}

// public is what the audit trail keeps of a task.
type public struct {
	Kind    string `json:"kind"`
	Title   string `json:"title"`
	State   State  `json:"state"`
	Done    int    `json:"done"`
	Failed  int    `json:"failed"`
	Total   int    `json:"total"`
	Message string `json:"message,omitempty"`
}

func (t *Task) public() public {
	return public{t.Kind, t.Title, t.State, t.Done, t.Failed, t.Total, t.Message}
}
