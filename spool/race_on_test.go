//go:build race

package spool

// raceDetector says that the tests run under the race detector.
const raceDetector = true
