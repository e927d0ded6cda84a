// Package auth is the room of the console's accounts: who may log in, with what, and what they may then do.
//
// Owns: the tables auth_*, accounts, sessions, API tokens, the first set-up, [Service.Middleware] that finds out who a
// request comes from, and [Service.Authorize]. Does not own: Samba's users (room identity), TLS (package pki).
//
// Promises: no default password; of session ids, tokens and the set-up code only hashes are stored; nobody can grant
// privileges that they do not hold; no secret reaches a log, an error, an event or the audit trail.
//
// Start reading at [Service.Middleware], then [Service.Login].
package auth
