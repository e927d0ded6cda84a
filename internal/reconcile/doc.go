// Package reconcile decides what has to be done so that a node's Samba becomes what its snapshot says.
//
// Owns: [Render] (a share as a section of smb.conf), [Plan] (observed and desired make ordered, idempotent steps), the
// holds that keep a restored control plane from removing what it has forgotten, and [Pass], which walks the steps.
//
// Does not own: any I/O. Plan is a pure function; Pass reaches the world only through a samba.Driver. Storing the
// snapshot and the last epoch, probing, and reporting belong to the agent.
//
// The order of steps is: accounts, paths, sections, closing of connections, removals. A share is taken away in three
// steps that a crash may part: made unavailable, its connections closed, removed. So nobody stays connected to what a
// crash has made us forget.
//
// Start reading at [Pass], then [Plan].
package reconcile
