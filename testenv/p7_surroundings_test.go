package testenv

import (
	"strings"
	"testing"

	"github.com/hookspool/hookspool/testenv/effort"
)

// TestP7Surroundings asserts that a proxy of the environment that is not used and limits that are too
// low are said once at start and by check, with the number that is needed, and without the proxy's
// password; and that deliveries go direct all the same.
func TestP7Surroundings(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("crm")
	j.Env = append(j.Env, "HTTPS_PROXY=http://user:canary@127.0.0.1:9",
		"http_proxy=http://user:canary@127.0.0.1:9", "GOMEMLIMIT=48MiB")
	want := []string{"HTTPS_PROXY and http_proxy are set, and no proxy is used",
		"GOMEMLIMIT is 48MiB: a relay needs 64MiB"}
	if !effort.Race { // its shadow memory needs more addresses than any limit of interest
		j.Through = []string{"sh", "-c", `ulimit -v 3145728; exec "$@"`, "sh"}
	}
	j.Start()
	j.SendIDs("x", 3)
	j.Ledger.AwaitDelivered()
	out := j.CLI("check")
	if out.Code != 0 {
		t.Errorf("check left with code %d\n%s%s", out.Code, out.Stdout, out.Stderr)
	}
	for _, words := range want {
		if n := j.LogCount("level=WARN", words); n != 1 {
			t.Errorf("the log says %q %d times, want once", words, n)
		}
		if n := strings.Count(out.Stdout, "warning: "+words); n != 1 {
			t.Errorf("check says %q %d times, want once\n%s", words, n, out.Stdout)
		}
	}
	const addresses = "the address space (ulimit -v) is limited to 3GiB: a relay needs 4GiB"
	if !effort.Race && j.LogCount("level=WARN", addresses) != 1 {
		t.Error("the log does not say that the address space is limited")
	}
	if strings.Contains(j.Log()+out.Stdout+out.Stderr, "canary") {
		t.Error("the proxy's password is shown")
	}
}
