package client

import "time"

// ShareSpec is what a person wants a share to be. In a create, what is left out takes the server's default.
type ShareSpec struct {
	Name       string            `json:"name"`
	Node       string            `json:"node,omitempty"`
	Path       string            `json:"path,omitempty"`
	CreatePath *bool             `json:"createPath,omitempty"`
	Comment    string            `json:"comment,omitempty"`
	ReadOnly   bool              `json:"readOnly,omitempty"`
	Browseable *bool             `json:"browseable,omitempty"`
	ValidUsers []string          `json:"validUsers,omitempty"`
	ReadList   []string          `json:"readList,omitempty"`
	WriteList  []string          `json:"writeList,omitempty"`
	Parameters map[string]string `json:"parameters,omitempty"`
}

// Share is a share with what has been observed of it.
type Share struct {
	Meta
	Name       string            `json:"name"`
	Node       string            `json:"node"`
	NodeName   string            `json:"nodeName"`
	Path       string            `json:"path"`
	CreatePath bool              `json:"createPath"`
	Comment    string            `json:"comment"`
	ReadOnly   bool              `json:"readOnly"`
	Browseable bool              `json:"browseable"`
	ValidUsers []string          `json:"validUsers"`
	ReadList   []string          `json:"readList"`
	WriteList  []string          `json:"writeList"`
	Parameters map[string]string `json:"parameters"`
	Status     ShareStatus       `json:"status"`
}

// Phases of a share.
const (
	Applying   = "Applying"
	PhaseReady = "Ready"
	Failed     = "Failed"
	Deleting   = "Deleting"
)

// ShareStatus is what was observed of a share.
type ShareStatus struct {
	Phase              string      `json:"phase"`
	ObservedGeneration int64       `json:"observedGeneration"`
	Path               string      `json:"path,omitempty"`
	Conditions         []Condition `json:"conditions"`
	Receipt            *Receipt    `json:"receipt,omitempty"`
}

// Receipt is the dated result of a probe by a real SMB client.
type Receipt struct {
	At         time.Time `json:"at"`
	Generation int64     `json:"generation"`
	Passed     bool      `json:"passed"`
	Client     string    `json:"client"`
	Dialect    string    `json:"dialect,omitempty"`
	Millis     float64   `json:"millis"`
	Checks     []Check   `json:"checks"`
}

// Check is one promise of the spec and whether it held.
type Check struct {
	Name   string  `json:"name"`
	As     string  `json:"as,omitempty"`
	OK     bool    `json:"ok"`
	Status string  `json:"status,omitempty"`
	Detail string  `json:"detail,omitempty"`
	Millis float64 `json:"millis"`
}

// ReadyAt returns the Ready condition if it speaks of generation gen or a later one, else nil.
func (s *Share) ReadyAt(gen int64) *Condition {
	if c := FindCondition(s.Status.Conditions, Ready); c != nil && c.ObservedGeneration >= gen && s.Generation >= gen {
		return c
	}
	return nil
}

// Shares returns the shares.
func (c *Client) Shares() *Collection[ShareSpec, Share] {
	return &Collection[ShareSpec, Share]{c: c, kind: "share", path: "/shares", names: func(s Share) (string, string) { return s.UID, s.Name }}
}
