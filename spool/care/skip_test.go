package care_test

import (
	"os"
	"testing"
)

// longRun asks for the long half of the tests, which the nightly run does.
func longRun() bool { return os.Getenv("HOOKSPOOL_LONG") != "" }

// raceAll asks for everything under the race detector as well, which the nightly run does.
func raceAll() bool { return os.Getenv("HOOKSPOOL_RACE") == "all" }

// withoutRace skips a test under the race detector of what one goroutine does with files at rest:
// there is nothing that it could race with, and every case of it runs in the other half of CI.
// HOOKSPOOL_RACE=all runs it all the same.
func withoutRace(t *testing.T) {
	t.Helper()
	if raceDetector && !raceAll() {
		t.Skip("one goroutine, proven without the race detector: HOOKSPOOL_RACE=all")
	}
}
