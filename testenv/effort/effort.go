// Package effort says how much a run of the tests is to prove. A change waits for the quick half of
// them, which needs two cores, four minutes, and a temp directory; what takes longer, a quiet
// machine, root or programs that it has to have runs at night:
//
//	HOOKSPOOL_LONG=1     the long half as well
//	HOOKSPOOL_RACE=all   under the race detector, what it could hardly find anything in as well
//
// Tests of every package use it; what is shipped does not.
package effort

import (
	"os"
	"testing"
)

// Long reports whether the long half was asked for.
func Long() bool { return os.Getenv("HOOKSPOOL_LONG") != "" }

// OnlyLong skips a test of the long half, unless that was asked for. why says what it takes.
func OnlyLong(t testing.TB, why string) {
	t.Helper()
	if !Long() {
		t.Skipf("%s: HOOKSPOOL_LONG=1", why)
	}
}

// Most is how many rounds a test goes: all of them, or these where a change waits for them.
func Most(long, quick int) int {
	if Long() {
		return long
	}
	return quick
}

// raceAll asks for everything under the race detector.
func raceAll() bool { return os.Getenv("HOOKSPOOL_RACE") == "all" }

// LessRace reports whether the race detector watches, and not everything was asked for.
func LessRace() bool { return Race && !raceAll() }

// WithoutRace skips a test under the race detector that it can find nothing in: one goroutine looks
// at documents, damaged files, text on a terminal or a page, and each of its calls is also made by
// tests that are watched. The night runs it all the same.
func WithoutRace(t testing.TB) {
	t.Helper()
	if LessRace() {
		t.Skip("proven without the race detector; with it: HOOKSPOOL_RACE=all")
	}
}

// Rounds is how often a test does the same: so often, or so often under the race detector, which
// makes everything five times as slow and finds in few rounds what it finds in many.
func Rounds(all, race int) int {
	if LessRace() {
		return race
	}
	return all
}
