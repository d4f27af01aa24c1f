package spooltest

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain wants a spool that was closed or killed to leave nothing running.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
