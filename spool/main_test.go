package spool

import (
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
