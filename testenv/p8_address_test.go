package testenv

import (
	"strings"
	"testing"
)

// TestP8AddressRules asserts that metadata, link-local and reserved addresses are never dialled,
// however they are written: outcome connect, at once, and the error names the key that would permit
// it; that a private address named by the URL needs no ceremony, and allow_addresses lifts the
// rule.
func TestP8AddressRules(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("neighbour")
	j.Ledger.AllowGaps()
	blocked := map[string]string{
		"metadata":   "http://169.254.169.254/latest/meta-data/",
		"metadata6":  "http://[fd00:ec2::254]/",
		"mapped":     "http://[::ffff:169.254.169.254]/",
		"nat64":      "http://[64:ff9b::a9fe:a9fe]/",
		"link-local": "http://[fe80::1]/",
		"zero":       "http://0.0.0.0/",
		"multicast":  "http://224.0.0.1/",
		"alibaba":    "http://100.100.100.200/",
		"tls":        "https://169.254.169.254/",
	}
	for name, url := range blocked {
		j.Config.Target(name, url, "timeout", "20s")
	}
	localhost := strings.Replace(j.RX.URL("localhost"), "127.0.0.1", "localhost", 1)
	j.Config.Target("localhost", localhost)
	// The one address of the table that leads nowhere but to this machine.
	permitted := strings.Replace(j.RX.URL("permitted"), "127.0.0.1", "0.0.0.0", 1)
	j.Config.Target("permitted", permitted, "allow_addresses", []string{"0.0.0.0"})
	j.Start()
	j.Send(Post{ID: "one", Body: []byte(`{"eventType":"message"}`)})
	for name := range blocked {
		Until(t, Patience, name+" to be refused, with the key that would permit it", func() bool {
			e := j.Target(name).LastError
			return e != nil && strings.Contains(*e, "allow_addresses") &&
				j.Metrics().Get("attempts_total", "target", name, "outcome", "connect") == 1
		})
		if s := j.Sample(name, "message"); s.Acknowledged || s.Outcome != "connect" {
			t.Errorf("%s: a sample says %+v", name, s)
		}
	}
	j.RX.AwaitID("neighbour", "one")
	j.RX.AwaitID("localhost", "one")
	j.RX.AwaitID("permitted", "one")
}
