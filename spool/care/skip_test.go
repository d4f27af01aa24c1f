package care_test

import (
	"os"
	"testing"
)

// longRun asks for the long half of the tests, which the nightly run does.
func longRun() bool { return os.Getenv("HOOKSPOOL_LONG") != "" }

// withoutRace skips a test under the race detector of what one goroutine does with files at rest:
// there is nothing that it could race with, and every case of it runs in the other half of CI.
// HOOKSPOOL_LONG=1 runs it all the same.
func withoutRace(t *testing.T) {
	t.Helper()
	if raceDetector && !longRun() {
		t.Skip("one goroutine, proven without the race detector: HOOKSPOOL_LONG=1")
	}
}
