//go:build race

package agent

// raceDetector makes everything several times slower, so that figures mean nothing.
const raceDetector = true
