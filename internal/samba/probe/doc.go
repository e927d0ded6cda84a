// Package probe shows by a real SMB client that a share keeps the promises of its spec, and writes the receipt.
//
// Owns: choosing as whom to log in, the checks, the names of NT statuses, and the condition Ready that follows from a
// receipt and from nothing else. Does not own: when to probe (package agent) and the accounts (package passdb).
//
// A probe widens no access: it logs in as a user whom the spec itself names, by the NT hash that the node holds anyway.
// See docs/adr/0002-how-the-probe-logs-in.md.
//
// Start reading at [Prober.Probe].
package probe
