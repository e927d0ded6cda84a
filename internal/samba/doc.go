// Package samba describes one private Samba and the contract by which its shares and accounts are driven.
//
// Owns: [Instance] (where a Samba lives, its smb.conf, how its programs are run), [CommandError], and the [Driver]
// contract with the observed [State].
//
// Does not own: what shall be (package desired), what to do about it (package reconcile), keeping smbd alive
// (samba/smbdproc), or how sections and accounts are stored (samba/registry, samba/passdb).
//
// Start reading at [Instance], then [Driver].
package samba
