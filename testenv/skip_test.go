package testenv

import (
	"fmt"
	"os"
	"testing"
)

// skipLoudly skips a test whose proof needs more of the machine than it has. A skipped proof must
// be seen: HOOKSPOOL_SKIPS names a file that collects the reasons, because `go test` swallows them.
func skipLoudly(t testing.TB, format string, args ...any) {
	t.Helper()
	reason := fmt.Sprintf(format, args...)
	if path := os.Getenv("HOOKSPOOL_SKIPS"); path != "" {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		_, err = fmt.Fprintf(f, "%s: NOT PROVEN HERE: %s\n", t.Name(), reason)
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Skip("NOT PROVEN HERE: " + reason)
}
