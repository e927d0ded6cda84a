// Package link is the stream between the control plane and its agents: snapshots, nudges, reports, liveness.
//
// Owns: [Server] (the control plane's half, mounted beside the API), [Client] and [Enrol] (the agent's half), the
// agent's identity files, and the rule of one live link epoch per node. Does not own: nodes and tokens (room node,
// behind [Nodes]), the content of snapshots and reports (behind [Store], types in package desired), applying (agent).
//
// # The link epoch
//
// A virtual machine can be cloned, and its copy has the same key. So each attach hands the agent a new link epoch, which it
// stores before it goes on, and one agent at a time holds the link of a node:
//
//   - Somebody holds it and answers a ping: the newcomer is a copy, and is fenced, whatever its epoch.
//   - Somebody held it but does not answer: half-open, the newcomer takes over.
//   - Nobody holds it: the newcomer gets it. With an older epoch than ours it was restored from a copy; from now on the
//     other one, if it still exists, is the stale one. Only right after a quarrel such a newcomer waits a little, so
//     that a restart of the original does not hand the node to its clone.
//
// Reports and fetches carry the lease (link epoch and instance) and are refused from anyone but the holder.
//
// # Promises
//
// Nudges coalesce and may be lost: the agent fetches after each attach. The latest report is delivered, again after a
// reconnect, until it is acknowledged. Everything else is the agent's business, which serves on without the link.
//
// Start reading at [Server.Attach] and [Client.Run].
package link
