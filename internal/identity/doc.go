// Package identity is the room of the local Samba users and groups.
//
// Owns: the tables identity_*, the rules for names, passwords and Unix ids, the bulk import, and the part of a node's
// snapshot that holds users and groups. Does not own: people who log in to the console (room auth), domain users, and
// which shares name a user (room share; see [Shares]).
//
// A password is never stored: what is kept is its NT hash, sealed. Unix ids come from the ranges reserved in package
// desired and are never given to another name, because files may still belong to them.
//
// Start reading at [Service.CreateUser].
package identity
