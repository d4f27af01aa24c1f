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
