package spool

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain wants a spool that was closed to leave nothing running.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// The engine's logging library keeps one for the life of the process.
		goleak.IgnoreTopFunction("github.com/golang/glog.(*fileSink).flushDaemon"),
	)
}

// longRun asks for the long half of the tests, which the nightly run does.
func longRun() bool { return os.Getenv("HOOKSPOOL_LONG") != "" }

// raceAll asks for everything under the race detector as well, which the nightly run does.
func raceAll() bool { return os.Getenv("HOOKSPOOL_RACE") == "all" }

// rounds is how many rounds a test goes: all of them, or these under the race detector, where a spool
// takes five times as long to open. CI runs every test in both ways; what it found in half of the
// rounds it finds in the other. HOOKSPOOL_RACE=all asks for all.
func rounds(all, race int) int {
	if raceDetector && !raceAll() {
		return race
	}
	return all
}

// withoutRace skips a test under the race detector of what one goroutine does with damaged files
// before a spool is open: there is nothing that it could race with, and every case of it runs in the
// other half of CI. HOOKSPOOL_RACE=all runs it all the same.
func withoutRace(t *testing.T) {
	t.Helper()
	if raceDetector && !raceAll() {
		t.Skip("one goroutine, proven without the race detector: HOOKSPOOL_RACE=all")
	}
}
