// Package agentv1 is the wire contract between the control plane and its agents, generated from agent.proto.
//
// Owns: messages and service definitions. Does not own: what they mean, which package link implements.
//
// Start reading at agent.proto.
package agentv1

//go:generate sh generate.sh
