//go:build race

package attempt

// raceDetector: under -race a sync.Pool forgets on purpose, so allocations mean nothing.
const raceDetector = true
