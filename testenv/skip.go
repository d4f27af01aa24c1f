package testenv

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// noteSkip says that something was not proven. It must be seen: HOOKSPOOL_SKIPS names a file that
// collects the reasons, because `go test` swallows them.
func noteSkip(t testing.TB, format string, args ...any) {
	t.Helper()
	line := fmt.Sprintf("%s: NOT PROVEN HERE: %s", t.Name(), fmt.Sprintf(format, args...))
	t.Log(line)
	path := os.Getenv("HOOKSPOOL_SKIPS")
	if path == "" {
		return
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	_, err = fmt.Fprintln(f, line)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// SkipLoudly skips a test whose proof needs more of the machine than it has.
func SkipLoudly(t testing.TB, format string, args ...any) {
	t.Helper()
	noteSkip(t, format, args...)
	t.SkipNow()
}

// embeddedOnly skips a scenario that is about what only the embedded engine has, when relays have
// their spools on a cluster.
func embeddedOnly(t testing.TB, format string, args ...any) {
	t.Helper()
	if onCluster() {
		SkipLoudly(t, "not on JetStream: "+format, args...)
	}
}

// tool finds a program: where an environment variable says, else in the PATH. If it is not there
// that is said loudly, with the package of Debian that has it.
func tool(t testing.TB, variable, name, debian string) (path string, ok bool) {
	t.Helper()
	if path = os.Getenv(variable); path != "" {
		return path, true
	}
	path, err := exec.LookPath(name)
	if err != nil {
		noteSkip(t, "%s is not installed: apt-get install %s, or set %s", name, debian, variable)
		return "", false
	}
	return path, true
}

// LongRun asks for the long half of the tests, which .ci/nightly does with HOOKSPOOL_LONG=1.
func LongRun() bool { return os.Getenv("HOOKSPOOL_LONG") != "" }

// raceAll asks for everything under the race detector as well, which the nightly run does.
func raceAll() bool { return os.Getenv("HOOKSPOOL_RACE") == "all" }

// WithoutRace skips a scenario under the race detector. CI runs every scenario twice: as it is, and
// with a relay that the race detector watches. That finds nothing in these: they look at documents,
// files, text on a terminal or the page in a browser, one call after the other, and every call is
// also made by scenarios that it watches. .ci/nightly runs them under it all the same.
func WithoutRace(t testing.TB) {
	t.Helper()
	if raceDetector && !raceAll() {
		t.Skip("proven without the race detector; with it: HOOKSPOOL_RACE=all")
	}
}

// rounds is how often a scenario does the same: so often, or so often under the race detector,
// which makes everything five times as slow and finds in few rounds what it finds in many.
// .ci/nightly goes all of them under it as well.
func rounds(all, race int) int {
	if raceDetector && !raceAll() {
		return race
	}
	return all
}
