package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/hookspool/hookspool/relay/receiver"
)

// TestDemoRepairsOnce asserts that the broken target recovers also when the very job that it should
// recover at was told together with the next, and is said to have recovered once.
func TestDemoRepairsOnce(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	c := &cli{out: &out, getenv: func(string) string { return "" }}
	s := &stage{c: c, story: newStory(c), erp: receiver.New(receiver.Options{Status: 503})}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1) // the goroutine below is its only sender
	go func() { served <- s.erp.Serve(ln) }()
	defer func() {
		if err := errors.Join(s.erp.Shutdown(context.Background()), <-served); err != nil {
			t.Error(err)
		}
	}()
	erp := "http://" + ln.Addr().String()
	f := func(target string, failedJobs, want int) {
		t.Helper()
		s.repair(target, failedJobs)
		answer, err := http.Post(erp, "application/json", nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := answer.Body.Close(); err != nil || answer.StatusCode != want {
			t.Errorf("erp answers %d after job %d of %s, want %d", answer.StatusCode, failedJobs, target,
				want)
		}
	}
	f("erp", demoFailedJobs-1, 503)
	f("crm", demoFailedJobs+1, 503)
	f("erp", demoFailedJobs+1, 200)
	f("erp", demoFailedJobs+2, 200)
	if n := strings.Count(out.String(), "erp is repaired now"); n != 1 {
		t.Errorf("erp is repaired %d times:\n%s", n, out.String())
	}
}
