// Package audit keeps the trail: who changed what, from where, before and after. It is a room.
//
// Owns: tables audit_log and audit_head, [Log.Append], [Log.Verify], and the operations /audit. Does not own: deciding
// what is worth a row; rooms hand their changes over through [event.Recorder].
//
// Promises: a row is written in the transaction of its change, so there is no change without a row and no row without a
// change. Each row's hash covers the row and the hash before it, and the newest hash is kept apart, so that [Log.Verify]
// finds rows that were changed, removed, put in, moved, or cut off at the end. The chain has no key: whoever can write
// the store and computes every later hash anew is found only by comparing with a hash that was noted elsewhere.
//
// Start reading at [Log.Append].
package audit
