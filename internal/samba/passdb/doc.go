// Package passdb keeps Samba's accounts: the Unix entries that make them exist, and passdb, which holds their passwords.
//
// Owns: the lines of the reserved id ranges in passwd, group and shadow files ([Store.Apply] leaves every other line as
// it is), the entries of the instance's passdb, and reading both back ([Store.Observe]).
//
// Does not own: which accounts there shall be (package reconcile), hashing passwords (samba/nthash), or shares.
//
// What is there is always read from the files and from passdb themselves, never from notes of our own: so a wiped passdb
// is filled again by the next pass.
//
// Start reading at [Store].
package passdb
