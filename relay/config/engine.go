package config

import (
	"fmt"
	"net/url"
	"strings"
	"time"
)

// The engines that a spool may stand on.
const (
	EngineBadger    = "badger"    // a disk of this machine
	EngineJetStream = "jetstream" // a cluster of NATS servers, which several relays share
)

const (
	serversMax         = 16
	engineNameBytesMax = 64
	relayNameBytesMax  = 128
	replicasMax        = 5
	// replicasSafe outlive one of them with a majority.
	replicasSafe = 3
	// dedupeShared is the default of event.dedupe_window when servers remember the ids: in memory.
	dedupeShared = time.Hour
	// compareDefault is how often the servers' copies are compared.
	compareDefault = 30 * time.Second
)

// JetStream is [spool.jetstream]: where the servers are that keep the spool.
type JetStream struct {
	URLs         []Secret      // nats:// or tls://; their user-info is secret
	Name         string        // of the stream; relays of one name share one spool
	Relay        string        // this relay among them; empty: the host's name
	Credentials  Secret        // the content of a .creds file
	CAFile       string        // PEM; empty: the system's roots
	ClientCert   string        // PEM; set together with ClientKey or not at all
	ClientKey    string        // PEM
	PEM          PEM           `json:"-"` // what these files hold
	Replicas     int           // of the stream
	MonitorURL   Secret        // http:// of one server; empty: how it syncs cannot be seen
	CompareEvery time.Duration // how often the servers' copies are compared; 0: never
	AcceptUnsafe bool          // what would lose events is warned of, and not refused
}

// Servers are the URLs without user-info, for people.
func (j *JetStream) Servers() []string {
	shown := make([]string, len(j.URLs))
	for i, u := range j.URLs {
		shown[i] = "(no URL)"
		if parsed, err := url.Parse(u.Reveal()); err == nil {
			shown[i] = MaskURL(parsed)
		}
	}
	return shown
}

func jetStreamRows(j *JetStream) []row {
	return []row{
		{name: "urls", set: serverURLs(&j.URLs)},
		{name: "name", set: text(&j.Name, checkEngineName)},
		{name: "relay", set: resolved(&j.Relay, checkRelayName)},
		{name: "credentials", set: resolved(&j.Credentials, checkCredentials)},
		{name: "ca_file", set: text(&j.CAFile, checkPath)},
		{name: "client_cert", set: text(&j.ClientCert, checkPath)},
		{name: "client_key", set: text(&j.ClientKey, checkPath)},
		{name: "replicas", set: integer(&j.Replicas, 1, replicasMax,
			"3 outlive the loss of one server, 5 that of two")},
		{name: "monitor_url", set: resolved(&j.MonitorURL, func(s string) problem {
			_, p := parseURL(s)
			return p
		})},
		{name: "compare_every", set: duration(&j.CompareEvery, span{
			low: time.Second, high: 10 * time.Minute, off: "the servers' copies are not compared",
			why: "each time costs the servers some 60 short requests"})},
		{name: "accept_unsafe", set: boolean(&j.AcceptUnsafe)},
	}
}

// serverURLs takes one URL of a NATS server, or a list of them.
func serverURLs(to *[]Secret) setter {
	many := bound{low: 1, high: serversMax, single: true,
		hint: `write ["nats://host:4222"], the servers of one cluster`}
	return distinct(to, many, "URL", checkServerURL)
}

// checkServerURL does not quote what it is given: user-info is secret.
func checkServerURL(s string) problem {
	const hint = `write "nats://host:4222", or "tls://host:4222" for TLS from a server that offers it`
	switch {
	case s == "":
		return problem{"cannot be empty", hint}
	case len(s) > urlBytesMax:
		return problem{fmt.Sprintf("is longer than %d bytes", urlBytesMax), ""}
	case strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || r == ',' }):
		return problem{"holds a space, a comma or a control character",
			"each server is an item of the list; in user-info write %2C for a comma, %20 for a space"}
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return problem{"is not a URL",
			`a port is a number, and special characters in user-info are written as %XX`}
	case u.Scheme != "nats" && u.Scheme != "tls" || u.Hostname() == "":
		return problem{"is not a nats:// or tls:// URL with a host", hint}
	case u.Path != "" && u.Path != "/" || strings.ContainsAny(s, "?#"):
		return problem{"has something after the host and port, which would mean nothing", hint}
	}
	if port := u.Port(); port != "" || strings.HasSuffix(u.Host, ":") {
		if n, ok := parsePort(port); !ok || n == 0 {
			return problem{"has no port from 1 to 65535 after the colon", hint}
		}
	}
	return problem{}
}

// checkEngineName wants what a stream may be called, which begins its subjects as well.
func checkEngineName(s string) problem {
	if s == "" || len(s) > engineNameBytesMax || s[0] == '_' || s[0] == '-' ||
		strings.ContainsFunc(s, func(r rune) bool { return !isBare(r) }) {
		return problem{fmt.Sprintf("a stream is called by 1 to %d letters, digits, _ and -, and begins "+
			"with a letter or a digit", engineNameBytesMax), `write "hookspool"`}
	}
	return problem{}
}

// checkRelayName wants what a host may be called.
func checkRelayName(s string) problem {
	if len(s) > relayNameBytesMax || strings.ContainsFunc(s, func(r rune) bool {
		return !isBare(r) && r != '.'
	}) {
		return problem{fmt.Sprintf("a relay is called by at most %d letters, digits, dots, _ and -",
			relayNameBytesMax), "leave it empty for the host's name"}
	}
	return problem{}
}

// checkCredentials wants what a .creds file holds, not where it is.
func checkCredentials(s string) problem {
	for _, part := range []string{"BEGIN NATS USER JWT", "BEGIN USER NKEY SEED"} {
		if !strings.Contains(s, part) {
			return problem{"is not what a .creds file holds: a user's JWT and its seed",
				`write "file:/path/to/user.creds"`}
		}
	}
	return problem{}
}
