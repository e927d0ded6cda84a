// Package ctl is the command line: the verbs of smbgw that speak to a server.
//
// Owns: the commands, one file per noun; documents for apply, diff, export and edit (document.go); --wait (wait.go); saved
// contexts (context.go); tables and colours (output.go); exit codes (exit.go). Does not own: how the API is spoken
// (package client, the only way in) nor the roles server, agent and up, which cmd/smbgw adds to the root.
//
// Standard output holds the answer, standard error everything else, so that output can be piped.
//
// Start reading at [Root].
package ctl
