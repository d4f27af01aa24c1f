package relay

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

// relaysAtOnce is how many tests run side by side. A relay that stops waits for a second in which no
// request comes, which is most of what a test here takes; so more than there are cores.
const relaysAtOnce = "6"

// TestMain wants a relay that has stopped to leave no goroutine behind.
func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		if err := flag.Set("test.parallel", relaysAtOnce); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m,
		// fasthttp's cleaner of idle workers sleeps before it looks whether the server has ended.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
	)
}
