package relay

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/hookspool/hookspool/testenv/effort"
)

// relaysAtOnce is how many tests run side by side. A relay that stops waits for a second in which no
// request comes, which is most of what a test here takes; so more than there are cores.
const relaysAtOnce = 6

// TestMain wants a relay that has stopped to leave no goroutine behind.
func TestMain(m *testing.M) {
	effort.AtOnce(relaysAtOnce)
	goleak.VerifyTestMain(m,
		// fasthttp's cleaner of idle workers sleeps before it looks whether the server has ended.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
	)
}
