// Package share is the room of shares: what a share shall be, and what has been observed of it.
//
// Owns: the tables share_*, the rules for names, paths, principals and parameters, REST /shares, and the shares' part of
// snapshots and reports. Does not own: users (room identity), nodes (room node), how Samba is told (package reconcile).
//
// Spec is written by clients only ([Service.Create], [Service.Update]), status by reports only ([Service.Observe]).
//
// Start reading at [Service].
package share
