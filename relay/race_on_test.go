//go:build race

package relay

// raceDetector: under -race a sync.Pool forgets on purpose, so allocations mean nothing.
const raceDetector = true
