// Package desired holds the types of one node's snapshot and of the report that answers it.
//
// Owns: [Snapshot] (what a node shall be), [Report] (what was observed), and the two interfaces that rooms satisfy:
// [Contributor] fills a snapshot, [Observer] receives a report.
//
// Does not own: planning (package reconcile), carrying (package link), storing. It does no I/O.
//
// Start reading at [Snapshot].
package desired
