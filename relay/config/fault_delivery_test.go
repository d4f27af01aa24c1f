package config

import "testing"

// What says when, how fast and how often a target is sent to is checked, with its place.
func TestFaultsOfDelivery(t *testing.T) {
	f := func(line, want string) {
		t.Helper()
		faults := world{}.faultsOf(t, target(line))
		if got := faults.Error(); got != "t.toml:4:1: target.t."+want {
			t.Errorf("%s:\n got %q\nwant %q", line, got, "4:1: target.t."+want)
		}
	}
	const rates = "\n  hint: write \"100/s\", \"600/m\" or \"1000/h\", a whole number from 1 to 1000000; \"\": " +
		"no bound"
	for _, text := range []string{"0/s", "100", "/s", "1.5/s", "-1/s", "10/d", "10/sec", "1000001/s",
		"10 / s", "99999999999999999999/s"} {
		f(`rate = "`+text+`"`, `rate: "`+text+`" is not a rate`+rates)
	}
	f(`rate = 100`, "rate: must be a string, not an integer\n  hint: strings stand in quotes")
	f(`max_attempts = -1`, "max_attempts: must be from 0 to 100000, but is -1"+
		"\n  hint: retries of this target's deliveries; 0: retry.max_attempts")
	f(`every_ticks = 0`, "every_ticks: must be from 1 to 1000, but is 0"+
		"\n  hint: a job at every n-th tick; 1: at each")
	early := func(lines, at, want string) {
		t.Helper()
		faults := world{}.faultsOf(t, target(lines))
		if got, want := faults.Error(), "t.toml:"+at+": target.t.early_retries"+want; got != want {
			t.Errorf("%s:\n got %q\nwant %q", lines, got, want)
		}
	}
	early(`early_retries = "2s"`, "4:1", ": must be a list of strings, not a string"+
		"\n  hint: write [\"2s\", \"30s\"]")
	early(`early_retries = ["2s", "soon"]`, "4:24", "[1]: \"soon\" is not a duration"+
		"\n  hint: write a number with ms, s, m, h or d in quotes, such as \"10m\"")
	early(`early_retries = ["0s"]`, "4:18", "[0]: must be from 10ms to 24h, but is 0s"+
		"\n  hint: how long after the attempt before it an early retry is made")
	early(`early_retries = ["2s", "10m"]`, "4:24", "[1]: is 10m, but there is a job every 10m"+
		"\n  hint: an early retry comes before the tick")
	early("early_retries = [\"2s\", \"2s\"]\nmax_attempts = 1", "4:1", ": has 2 items, but a delivery is "+
		"retried 1 times at most\n  hint: each is one of max_attempts")
	f(`expire = "0s"`, "expire: must be from 10ms to 87600h, but is 0s"+
		"\n  hint: a delivery that is older is not attempted any more; empty: none is too old")
	f(`retry_after_max = "60d"`, "retry_after_max: must be from 10ms to 744h, or 0s, but is 1440h"+
		"\n  hint: a target that asks for more is held this long; 0s: Retry-After is ignored")
}

func TestParseRate(t *testing.T) {
	f := func(text string, perSecond float64) {
		t.Helper()
		r, ok := parseRate(text)
		if !ok || r.PerSecond() != perSecond || r.String() != text {
			t.Errorf("%q is %v a second, written %q", text, r.PerSecond(), r)
		}
	}
	f("", 0)
	f("100/s", 100)
	f("600/m", 10)
	f("1/h", 1.0/3600)
}
