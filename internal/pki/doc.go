// Package pki is the product's own certificate authority, and the TLS settings that build on it.
//
// Owns: [Authority] (made once per control plane; issues the server's certificate and signs those of agents), the CA's
// fingerprint, and the client sides of TLS: pinned to a fingerprint ([PinnedClient]) and mutual ([MutualClient]).
//
// Does not own: which node may do what (room node refuses by UID), nor where an agent keeps its key (package link).
//
// The server is recognised by [ServerName], a fixed name in its certificate, and not by the address it was reached at:
// the CA signs servers of this one control plane only, and agents come through NAT and by addresses nobody told it.
//
// Start reading at [Open].
package pki
