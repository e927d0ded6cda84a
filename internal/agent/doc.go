// Package agent is the composition root of the agent, the part that runs beside Samba on every node.
//
// Owns: the loop observe, plan, apply, probe, report; the snapshot on disk; when to probe; what is reported. Does not own:
// any rule about shares (package reconcile), how Samba is driven (below package samba), or the wire (package link).
//
// # How it runs
//
//	link ── nudge ──► fetcher ── snapshot stored on disk ──► passes ──► probes ──► board ── report ──► link
//	                                     smbdproc.Supervisor ──┴──────────┘ (smbd came or went)
//
// Each part is a goroutine that waits for none of the others: without a server passes and probes go on from the stored
// snapshot, and a slow probe holds up no pass. Only the passes write to Samba.
//
// Start reading at [Run], then passes.run.
package agent
