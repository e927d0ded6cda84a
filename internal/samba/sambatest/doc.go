// Package sambatest says in tests what a samba.Driver has to do, and has an in-memory driver that does it.
//
// Owns: [Conformance], the suite that every driver passes; [Fake], which tests of other packages use where a real Samba
// would be slow, with faults to order; [New], a private real instance for tests.
//
// Does not own: any product code; nothing but tests imports it.
//
// Start reading at [Conformance].
package sambatest
