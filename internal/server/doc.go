// Package server is the composition root of the control plane: the one place that knows every room.
//
// Owns: the order of start and stop, the wiring of rooms to each other, the mark by which an older store is
// noticed ([marked]), and what is served at which address. Does not own: any rule about a noun.
//
// Start reading at [New].
package server
