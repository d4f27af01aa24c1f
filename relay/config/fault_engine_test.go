package config

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// creds is what a .creds file holds, as far as the config looks into it.
const creds = "-----BEGIN NATS USER JWT-----\ne30\n------END NATS USER JWT------\n" +
	"-----BEGIN USER NKEY SEED-----\nSU\n------END USER NKEY SEED------\n"

func engineCases() [][2]string {
	const url = "\n  hint: write \"nats://host:4222\", or \"tls://host:4222\" for TLS from a server " +
		"that offers it"
	const parts = "\n  hint: each server is an item of the list; in user-info write %2C for a comma, " +
		"%20 for a space"
	const name = "2:1: spool.jetstream.name: a stream is called by 1 to 64 letters, digits, _ and -, " +
		"and begins with a letter or a digit\n  hint: write \"hookspool\""
	const holds = "2:1: spool.jetstream.credentials: is not what a .creds file holds: a user's JWT " +
		"and its seed\n  hint: write \"file:/path/to/user.creds\""
	const replicas = "\n  hint: 3 outlive the loss of one server, 5 that of two"
	at := func(line string) string { return "[spool.jetstream]\n" + line }
	urls := func(list string) string { return at("urls = " + list) }
	on := func(lines string) string { return "spool.engine = \"jetstream\"\n" + at(lines) }
	return [][2]string{
		{"[spool]\nengine = \"jetstraem\"", "2:1: spool.engine: \"jetstraem\" is not one of \"badger\", " +
			"\"jetstream\"\n  hint: did you mean \"jetstream\"?"},
		{"[spool]\njetstream = 1", "2:1: spool.jetstream: must be a table, not an integer\n" +
			"  hint: write [spool.jetstream] on a line of its own"},
		{urls("[]"), "2:1: spool.jetstream.urls: cannot be empty\n" +
			"  hint: write [\"nats://host:4222\"], the servers of one cluster"},
		{urls("[\"nats://a\", \"\"]"), "2:21: spool.jetstream.urls[1]: cannot be empty" + url},
		{urls("[\"http://a:4222\"]"),
			"2:9: spool.jetstream.urls[0]: is not a nats:// or tls:// URL with a host" + url},
		{urls("\"a:4222\""), "2:1: spool.jetstream.urls: is not a nats:// or tls:// URL with a host" + url},
		{urls("[\"nats://a,nats://b\"]"),
			"2:9: spool.jetstream.urls[0]: holds a space, a comma or a control character" + parts},
		{urls("[\"nats://a/spool\"]"), "2:9: spool.jetstream.urls[0]: has something after the host and " +
			"port, which would mean nothing" + url},
		{urls("[\"nats://a:0\"]"),
			"2:9: spool.jetstream.urls[0]: has no port from 1 to 65535 after the colon" + url},
		{urls("[\"nats://a\", \"nats://a\"]"),
			"2:21: spool.jetstream.urls[1]: is the same URL as one before it\n  hint: leave one"},
		{at("name = \"\""), name},
		{at("name = \"a.b\""), name},
		{at("name = \"_INBOX\""), name},
		{at("name = \"a*\""), name},
		{at("name = \"" + strings.Repeat("a", 65) + "\""), name},
		{at("relay = \"a b\""), "2:1: spool.jetstream.relay: a relay is called by at most 128 letters, " +
			"digits, dots, _ and -\n  hint: leave it empty for the host's name"},
		{at("credentials = \"/run/user.creds\""), holds},
		{at("credentials = \"file:/gone\""), "2:1: spool.jetstream.credentials: cannot read file " +
			"\"/gone\": file does not exist\n  hint: it must be a regular file that the user who runs " +
			"hookspool can read"},
		{at("ca_file = \"/gone\""), "2:1: spool.jetstream.ca_file: cannot read file \"/gone\": file " +
			"does not exist\n  hint: paths are relative to the working directory"},
		{at("client_cert = \"/gone\""), "2:1: spool.jetstream.client_cert: cannot read file \"/gone\": " +
			"file does not exist\n  hint: paths are relative to the working directory"},
		{at("replicas = 0"), "2:1: spool.jetstream.replicas: must be from 1 to 5, but is 0" + replicas},
		{at("replicas = 6"), "2:1: spool.jetstream.replicas: must be from 1 to 5, but is 6" + replicas},
		{at("monitor_url = \"nats://a\""), "2:1: spool.jetstream.monitor_url: is not an absolute http:// " +
			"or https:// URL with a host\n  hint: write \"https://host/path\""},
		{at("accept_unsafe = \"yes\""), "2:1: spool.jetstream.accept_unsafe: must be true or false, not a " +
			"string\n  hint: without quotes"},
		// Few replicas are a fault only where they count, and where nobody accepts them.
		{at("replicas = 1"), ""},
		{on("replicas = 1\naccept_unsafe = true"), ""},
		{on("replicas = 2"), "3:1: spool.jetstream.replicas: is 2: what is acknowledged would not " +
			"outlive the loss of one server\n  hint: write replicas = 3; for development only: " +
			"accept_unsafe = true"},
	}
}

// TestEngineDefaults asserts what the engine decides for other keys, unless the file does.
func TestEngineDefaults(t *testing.T) {
	f := func(text string, want time.Duration) {
		t.Helper()
		if got := (world{}).mustParse(t, text).Event.DedupeWindow; got != want {
			t.Errorf("%q: event.dedupe_window is %s, want %s", text, got, want)
		}
	}
	f("[spool]\nengine = \"badger\"", 24*time.Hour)
	f("[spool]\nengine = \"jetstream\"", time.Hour)
	f("spool.engine = \"jetstream\"\nevent.dedupe_window = \"24h\"", 24*time.Hour)
}

func TestEngineWarnings(t *testing.T) {
	f := func(text string, want ...string) {
		t.Helper()
		w := world{files: map[string]string{"/creds": creds}}
		got := w.mustParse(t, text).Spool.engineWarnings()
		if !slices.EqualFunc(got, want, strings.Contains) {
			t.Errorf("%q gives %q, want %q", text, got, want)
		}
	}
	const on = "spool.engine = \"jetstream\"\n[spool.jetstream]\n"
	// A table without its engine, and one that says nothing else than the defaults.
	f("[spool.jetstream]\nname = \"x\"", `spool.engine is "badger": [spool.jetstream] has no effect`)
	f("[spool.jetstream]\nname = \"hookspool\"")
	f(on, "monitor_url is empty")
	f(on+"monitor_url = \"http://a:8222\"\naccept_unsafe = true", "accept_unsafe is true")
	// What goes to another machine in clear, without the password.
	f(on+"monitor_url = \"http://a\"\nurls = [\"nats://u:p@a\"]", "the server at nats://a insists")
	f(on + "monitor_url = \"http://a\"\nurls = [\"tls://a\", \"nats://localhost\", \"nats://[::1]:1\"]")
}
