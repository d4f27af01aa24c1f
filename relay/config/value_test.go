package config

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	f := func(in string, want time.Duration, ok bool) {
		t.Helper()
		if got, good := parseDuration(in); good != ok || ok && got != want {
			t.Errorf("%q gives %v %v, want %v %v", in, got, good, want, ok)
		}
	}
	f("10m", 10*time.Minute, true)
	f("1h30m", 90*time.Minute, true)
	f("0s", 0, true)
	f("7d", 168*time.Hour, true)
	f("1.5d", 36*time.Hour, true)
	f("1d12h", 36*time.Hour, true)
	f("-10m", -10*time.Minute, true) // refused by the bounds, which say more
	for _, bad := range []string{"", "10", "10 m", "m", "d", "-1d", "1d-1h", "1d+1h", "1h1d", "1dd",
		"infd", "1e3d", ".d", "1.d", "99999999999d", "53375d2562047h", "9999999999h"} {
		f(bad, 0, false)
	}
}

func TestDurationText(t *testing.T) {
	f := func(in time.Duration, want string) {
		t.Helper()
		if got := durationText(in); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	f(0, "0s")
	f(10*time.Millisecond, "10ms")
	f(10*time.Second, "10s")
	f(10*time.Minute, "10m")
	f(168*time.Hour, "168h")
	f(90*time.Minute, "1h30m")
	f(time.Hour+time.Second, "1h0m1s")
}

func TestParseSize(t *testing.T) {
	f := func(in string, want int64, ok bool) {
		t.Helper()
		if got, _, good := parseSize(in); good != ok || got != want {
			t.Errorf("%q gives %v %v, want %v %v", in, got, good, want, ok)
		}
	}
	f("0B", 0, true)
	f("1B", 1, true)
	f("512KiB", 524288, true)
	f("512KB", 512000, true)
	f("10GiB", 10<<30, true)
	f("1MB", 1e6, true)
	f("2TB", 2e12, true)
	f("2TiB", 2<<40, true)
	f("3GB", 3e9, true)
	f("1.5MiB", 3<<19, true)
	f("0.0005KB", 0, true) // a part of a byte is dropped
	for _, bad := range []string{"", "B", "10", "10 MiB", "-1B", "1.2.3B", "1.B", ".5B", "1e3B",
		"1mb", "1kB", "1K", "1PiB", "99999999999TiB", "0x1B", "+1B"} {
		f(bad, 0, false)
	}
}

func TestSizeText(t *testing.T) {
	f := func(in int64, want string) {
		t.Helper()
		if got := sizeText(in); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	f(0, "0B")
	f(1, "1B")
	f(1e6, "1MB")
	f(512<<10, "512KiB")
	f(1<<50, "1024TiB")
	f(1001, "1001B")
}

func TestPatternMatch(t *testing.T) {
	f := func(p Pattern, s string, want bool) {
		t.Helper()
		if got := p.Match(s); got != want {
			t.Errorf("%q matches %q: %v, want %v", p, s, got, want)
		}
	}
	f("message", "message", true)
	f("message", "Message", false)
	f("message", "message_bsuid", false)
	// The trap of Wati's names: the exact one must not take its twin.
	f("sentMessageDELIVERED", "sentMessageDELIVERED_v2", false)
	f("sentMessage*", "sentMessageDELIVERED_v2", true)
	f("sentMessage*", "sentMessage", true)
	f("*", "", true)
	f("*", "anything at all", true)
	f("", "", true)
	f("", "x", false)
	f("*_v2", "sentMessageREAD_v2", true)
	f("*_v2", "_v2_v2x", false)
	f("*_v2", "_v2x_v2", true)
	f("a*b*c", "abc", true)
	f("a*b*c", "axxbxbxcxc", true)
	f("a*b*c", "acb", false)
	f("a*a", "a", false) // no character serves twice
	f("ab*ba", "aba", false)
	f("a**b", "ab", true)
	f("**", "", true)
	// Nothing else is special.
	f("a?c", "abc", false)
	f("a.c", "abc", false)
	f("[a]", "a", false)
	f(`a\*`, `a\x`, true)
	// What takes a backtracking matcher ages.
	f(Pattern(strings.Repeat("a*", 128)), strings.Repeat("a", 100_000)+"b", true)
	f(Pattern(strings.Repeat("a*", 127)+"c"), strings.Repeat("a", 100_000)+"b", false)
}

func TestSuccess(t *testing.T) {
	f := func(s Success, want string) {
		t.Helper()
		if got := s.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	f(Success{}, "")
	f(NewSuccess(200), "200")
	f(NewSuccess(404, 200, 200), "200, 404")
	c := world{}.mustParse(t, target(`success = [404, "2xx", 204]`))
	s := c.Targets[0].Success
	f(s, "2xx, 404")
	var has []int
	for code := -1000; code < 2000; code++ {
		if s.Has(code) {
			has = append(has, code)
		}
	}
	if len(has) != 101 || has[0] != 200 || has[99] != 299 || has[100] != 404 {
		t.Errorf("has %v", has)
	}
	if s.Empty() || !(Success{}).Empty() || s == NewSuccess(200) {
		t.Error("cannot compare")
	}
	for _, code := range []int{200, 599} {
		if !NewSuccess(code).Has(code) {
			t.Errorf("has not %d", code)
		}
	}
	defer func() {
		if r := recover(); r == nil || !strings.HasPrefix(r.(string), "BUG: ") {
			t.Errorf("%v", r)
		}
	}()
	NewSuccess(199)
}

func TestStatus(t *testing.T) {
	f := func(s Status, want string) {
		t.Helper()
		if got := s.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	f(StatusEnabled, "enabled")
	f(StatusPaused, "paused")
	f(StatusDisabled, "disabled")
	f(7, "Status(7)")
}

func TestNearest(t *testing.T) {
	known := []string{"url", "status", "events", "timeout", "secret"}
	f := func(in, want string) {
		t.Helper()
		if got, _ := nearest(in, known); got != want {
			t.Errorf("%q gives %q, want %q", in, got, want)
		}
	}
	f("urll", "url")
	f("ulr", "url")
	f("stauts", "status")
	f("event", "events")
	f("time_out", "timeout")
	f("xyz", "")
	f("", "")
	f(strings.Repeat("x", 1<<20), "")
}

func TestListenNetwork(t *testing.T) {
	f := func(in, network, where string, local bool) {
		t.Helper()
		n, w := ListenNetwork(in)
		if n != network || w != where || isLocal(in) != local {
			t.Errorf("%q gives %q %q local %v", in, n, w, isLocal(in))
		}
	}
	f("127.0.0.1:1", "tcp", "127.0.0.1:1", true)
	f("127.9.9.9:1", "tcp", "127.9.9.9:1", true)
	f("[::1]:1", "tcp", "[::1]:1", true)
	f("[::ffff:127.0.0.1]:1", "tcp", "[::ffff:127.0.0.1]:1", true)
	f("LocalHost:1", "tcp", "LocalHost:1", true)
	f(":1", "tcp", ":1", false)
	f("0.0.0.0:1", "tcp", "0.0.0.0:1", false)
	f("10.0.0.1:1", "tcp", "10.0.0.1:1", false)
	f("host:1", "tcp", "host:1", false)
	f("unix:/a", "unix", "/a", true)
}

func TestWarnings(t *testing.T) {
	f := func(text string, want ...string) {
		t.Helper()
		got := world{}.mustParse(t, text).Warnings()
		if !slices.Equal(got, want) {
			t.Errorf("in %q\ngot  %q\nwant %q", text, got, want)
		}
	}
	const mailed = "[alert.email]\nsmtp = \"h:25\"\nto = [\"a@b\"]\n"
	const noMail = "alert.email.smtp is empty: nobody gets a mail when a target is Defective"
	events := func(list string) string {
		return mailed + "[target.t]\nurl = \"http://x\"\nevents = [" + list + "]"
	}
	meant := func(wrong, right string) string {
		return "target.t.events: \"" + wrong + "\" matches no event type that Wati documents; " +
			"did you mean \"" + right + "\"?"
	}
	f("", "there is no [target.NAME]: every event will be unmatched and not spooled", noMail)
	f(target(""), noMail)
	f(mailed + target(""))
	f("[alert.webhook]\nurl = \"https://h/x\"\nallow_addresses = [\"0.0.0.0/0\"]\n"+target(""),
		"alert.email.smtp is empty: alerts are posted to alert.webhook.url, and nobody gets a mail",
		"alert.webhook.allow_addresses has all of IPv4: it lifts the protection of cloud metadata "+
			"and private networks for this url")
	f(mailed+"[alert.webhook]\nheaders = { X = \"y\" }\n"+target(""),
		"alert.webhook.url is empty: the rest of [alert.webhook] has no effect")
	f(mailed+"tls = \"none\"\nusername = \"u\"\npassword = \"p\"\n"+target(""),
		`alert.email.tls is "none": the password goes over the wire in clear`)
	f(mailed+"[server]\nlisten = [\":1\", \"localhost:2\", \"unix:/x\"]\n"+target(""),
		"server.listen :1 can be reached from other machines and server.event_token is empty: "+
			"anybody there can send events")
	f(mailed+"[server]\nlisten = \":1\"\nevent_token = \"x\"\nadmin_token = \"x\"\n"+target(""),
		"server.event_token is shorter than 16 characters: it can be guessed",
		"server.admin_token is shorter than 16 characters: it can be guessed",
		"server.event_token and server.admin_token are the same: "+
			"whoever may send events may also purge them")
	f(mailed+target("")+"[target.a]\nurl = \"https://x\"\nevents = [\"*\"]",
		"targets a and t have one url: an event that both want is sent twice")
	f(mailed+target(`allow_addresses = ["10.0.0.0/8", "::/0"]`),
		"target.t.allow_addresses has all of IPv6: it lifts the protection of cloud metadata and "+
			"private networks for this target")
	f(mailed+"[target.t]\nurl = \"https://u:p@x\"\nevents = [\"*\"]\n"+
		"headers = { authorization = \"x\" }",
		"target.t.headers sets Authorization: the user-info of its url is not sent")
	f(mailed+"[session]\nuser_events = [\"mesage\"]\nbusiness_events = []\n"+target(""),
		"session.user_events or session.business_events is empty: "+
			"unless events tell their owner, no session becomes active",
		`session.user_events: "mesage" matches no event type that Wati documents; `+
			`did you mean "message"?`)
	f(events(`"message", "templateMessage*", "*", "order.created", "orders*"`))
	f(events(`"Message"`), meant("Message", "message"))
	f(events(`"sentMessageDelivered"`), meant("sentMessageDelivered", "sentMessageDELIVERED"))
	f(events(`"templateMesageSent"`), meant("templateMesageSent", "templateMessageSent"))
	f(events(`"templatemessage*"`), meant("templatemessage*", "templateMessage*"))
	f(events(`"sentMesage*"`), meant("sentMesage*", "sentMessage*"))
	f(events(`"*Failled"`))
}

func TestKnownTypes(t *testing.T) {
	known := KnownTypes()
	seen := slices.Compact(slices.Sorted(slices.Values(known)))
	if len(seen) != len(known) || len(known) < 39 {
		t.Errorf("%d types, %d different", len(known), len(seen))
	}
	known[0] = "changed"
	if KnownTypes()[0] != "message" {
		t.Error("callers share the slice")
	}
}

// TestClientCert checks real certificates: a pair that belongs together, and one that does not.
func TestClientCert(t *testing.T) {
	certA, keyA := newCert(t)
	_, keyB := newCert(t)
	w := world{files: map[string]string{"/a.pem": certA, "/a.key": keyA, "/b.key": keyB}}
	c := w.mustParse(t, target("ca_file = \"/a.pem\"\nclient_cert = \"/a.pem\"\n"+
		"client_key = \"/a.key\""))
	x := c.Targets[0]
	if x.CAFile != "/a.pem" || x.ClientCert != "/a.pem" || x.ClientKey != "/a.key" {
		t.Errorf("%q %q %q", x.CAFile, x.ClientCert, x.ClientKey)
	}
	faults := w.faultsOf(t, target("client_cert = \"/a.pem\"\nclient_key = \"/b.key\""))
	if faults == nil || len(faults.List) != 1 ||
		!strings.Contains(faults.Error(), "private key does not match public key") {
		t.Errorf("%v", faults)
	}
}

func newCert(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(kind string, der []byte) string {
		var out bytes.Buffer
		if err := pem.Encode(&out, &pem.Block{Type: kind, Bytes: der}); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	return encode("CERTIFICATE", der), encode("PRIVATE KEY", keyDER)
}
