// Package node is the room of nodes: the machines where our agent manages Samba.
//
// Owns: the tables node_*, enrolment tokens, REST /nodes, what agents say about their machines, which agent is which
// node ([link.Nodes]), and the store epoch with the snapshots and reports that belong to it ([link.Store]).
// Does not own: the wire (package link), certificates (package pki), what is in a snapshot beyond the node's own part
// (the other rooms, through [desired.Contributor]).
//
// Spec is written by clients only, status by the link and by reports only.
//
// Start reading at [Service].
package node
