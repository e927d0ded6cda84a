//go:build race

package registry_test

// raceEnabled: the race detector multiplies CPU time.
const raceEnabled = true
