package samba

import "context"

// Driver is what reconciling asks of a Samba. Every method may be called again after it failed or was cut off half
// way: doing a thing twice equals doing it once. Implementations are used by one goroutine at a time.
//
// The suite in package sambatest says what the words below mean; every implementation passes it.
type Driver interface {
	// Observe returns what is there now, marked as ours or not. Without a change since the last call it is cheap.
	Observe(ctx context.Context) (State, error)
	// Check tells for each candidate whether this node could serve it, keyed by the section's name. It changes nothing.
	Check(ctx context.Context, candidates []Candidate) (map[string]Fact, error)
	// SyncAccounts makes one batch of changes to Unix accounts and passdb.
	SyncAccounts(ctx context.Context, change AccountChange) error
	// EnsurePath creates a directory owned by the share owner if it is missing. What exists is left as it is.
	EnsurePath(ctx context.Context, path string) error
	// PutSections writes sections whole, all or none: what a section held before is gone. Other sections are not touched.
	PutSections(ctx context.Context, sections []Section) error
	// RemoveSections drops sections, all or none. A name that is not there is no error.
	RemoveSections(ctx context.Context, names []string) error
	// CloseShares ends what clients have open on shares, so that they connect anew by the rules of now.
	CloseShares(ctx context.Context, names []string) error
}

// State is what a driver has observed. The receiver must not change it: drivers return cached values.
type State struct {
	Sections []Section
	// Accounts are those in the reserved ranges.
	Accounts Accounts
	// Taken holds accounts of the machine that are not ours.
	Taken Taken
}

// Candidate is a section that shall be served.
type Candidate struct {
	Section Section
	// CreatePath says that a missing path below a share root is to be created.
	CreatePath bool
}

// Fact is what the node knows about a candidate.
type Fact struct {
	// Path is the section's path without symbolic links; empty if it could not be resolved.
	Path string
	// Missing says that the path does not exist and may be created.
	Missing bool
	// Problem is why the node cannot serve the candidate; nil if it can.
	Problem *Problem
}

// Problem is why something cannot be applied.
type Problem struct {
	// Reason is a stable code such as share.path_missing.
	Reason string `json:"reason"`
	// Message is a sentence for people; it says what to do.
	Message string `json:"message"`
}
