// Package smbdproc keeps one private smbd running, and lets it outlive whoever started it.
//
// Owns: starting smbd in a session of its own, adopting one that runs already, restarting one that died, telling why it
// does not run, and ending every process of an instance. Does not own: configuration (package samba), shares, probing.
//
// # Why smbd outlives the agent
//
// Every client's connection is a child of smbd. A restart or an upgrade of the agent must not be felt by clients, so
// smbd runs in a session of its own, is never stopped because its supervisor ends, and is adopted by the next one. A
// healthy smbd is never restarted. samba-dcerpcd and its rpcd_* helpers leave even smbd's session; [Stop] finds them.
//
// Start reading at [Supervisor.Run].
package smbdproc
