package admin

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain wants an admin listener that was shut down to leave no goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
