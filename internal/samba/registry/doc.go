// Package registry drives a Samba whose shares live in its registry, by Samba's own programs.
//
// Owns: [Driver], the implementation of samba.Driver for one private instance: reading sections by `net conf list`,
// writing them by `net registry import`, checking candidates against this node (paths, VFS modules, testparm), creating
// directories, closing connections.
//
// Does not own: what shall be there (package reconcile), accounts (samba/passdb, which it calls), smbd's life
// (samba/smbdproc).
//
// Why not `net conf import`: without a section's name it first drops the whole configuration, foreign sections included,
// in a transaction of its own; with a name it takes one process for each section. `net registry import` takes many
// sections, adds and deletes keys, and is one transaction.
//
// Start reading at [Driver].
package registry
