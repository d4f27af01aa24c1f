package config

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
)

// canary is what must never be seen. It holds no character that TOML, a URL or a token minds.
const canary = "hunter2canary"

// TestFaultsShowNoSecret puts the canary wherever a secret may stand, in ways that are all wrong,
// directly, by environment and by file. Every text must be at fault, and no fault may show it.
func TestFaultsShowNoSecret(t *testing.T) {
	f := func(text string) {
		t.Helper()
		for _, source := range []string{"direct", "env", "file"} {
			w, in := written(text, source)
			faults := w.faultsOf(t, in)
			if faults == nil {
				t.Errorf("no fault in %q", in)
				continue
			}
			shown, err := json.Marshal(faults)
			if err != nil || strings.Contains(faults.Error()+string(shown), canary) {
				t.Errorf("%s: %v in %q\ngives %s", source, err, in, faults)
			}
		}
	}
	whsk := base64.StdEncoding.EncodeToString([]byte(strings.Repeat(canary, 5)[:64]))
	// Tokens, keys, mail.
	f("[server]\nevent_token = <" + canary + " x>")
	f("[server]\nadmin_token = <" + canary + "é>")
	f("[spool]\nencryption_key = <" + canary + ">")
	f("[spool]\nencryption_key = <" + canary + "===>")
	for _, u := range []string{"nats://u:" + canary + "@h:99999", "http://u:" + canary + "@h", canary,
		"nats://" + canary + "@h/x", "nats://u:" + canary + "^%zz@h", "tls://" + canary + "@",
		"nats://u:" + canary + "@a,nats://b", "nats://u:" + canary + "@h:port"} {
		f("[spool.jetstream]\nurls = [<" + u + ">]")
	}
	f("[spool.jetstream]\nurls = [\"nats://" + canary + "@h\", \"nats://" + canary + "@h\"]")
	f("[spool.jetstream]\ncredentials = <" + canary + ">")
	f("[spool.jetstream]\nmonitor_url = <nats://u:" + canary + "@h>")
	f("[alert.email]\nsmtp = <smtp://u:" + canary + "@host>")
	f("[alert.email]\nsmtp = <host:" + canary + ">")
	f("[alert.email]\nsmtp = <" + canary + "@host:25>")
	f("[alert.email]\nusername = <" + canary + ">")
	f("[alert.email]\npassword = <" + canary + ">")
	f("[alert.email]\nusername = <" + canary + "\x00>")
	for _, u := range []string{"socks5://u:" + canary + "@h:1", "http://u:" + canary + "@h",
		"http://u:" + canary + "@h:1/x", "http://h:1/?" + canary, canary, canary + ":3128",
		"u:" + canary + "@h:1", "http://u:" + canary + "@h:99999", "https://" + canary + "@h:1"} {
		f(target("proxy = <" + u + ">"))
	}
	for _, line := range []string{"token_url = <https://u:" + canary + "@h/>", "token_url = <" + canary + ">",
		"token_url = <https://h/?x=" + canary + "#>", "client_secret = <" + canary + ">",
		"client_secret = <" + canary + "\x00>", "client_id = <" + canary + ">",
		"params = { grant_type = <" + canary + "> }", "params = { x = <" + canary + "\x00> }"} {
		f(target("oauth2." + line))
	}
	f("[alert.webhook]\nurl = <https://h/" + canary + "#x>")
	f("[alert.webhook]\nurl = <" + canary + ">")
	f("[alert.webhook]\nsecret = <" + canary + ">")
	f("[alert.webhook]\nheaders = { X = <" + canary + "\x00> }")
	// URLs that url.Parse and we refuse, each in its own way.
	for _, u := range []string{
		"http://u:" + canary + "@host:99999/", "http://u:" + canary + "@host:port/",
		"http://u:" + canary + "@", "http://u:" + canary + "@[::1", "ftp://u:" + canary + "@host",
		"http://host/?token=" + canary + "#x", "http://host/?token=" + canary + " x",
		"http://u:" + canary + "%zz@host/", "http://host/%zz?token=" + canary,
		"http://u:" + canary + "^@host/", canary, canary + "://host", canary + ":80",
		"http://" + canary + "\x7f", "http://host:" + canary, "http://h/" + canary + "#",
	} {
		f("[target.t]\nevents = [\"*\"]\nurl = <" + u + ">")
	}
	// Secrets and headers.
	for _, s := range []string{canary, "whsec_" + canary, "whsk_" + canary, "whpk_" + canary,
		"whsk_" + whsk, "whsec_" + canary + canary + "\n" + canary} {
		f(target("secret = <" + s + ">"))
		f(target("secret = [<" + s + ">]"))
	}
	f(target("secret = [\"" + canary + "\", \"" + canary + "\"]"))
	f(target("headers = { Authorization = <" + canary + "\nx> }"))
	f(target("headers = { Authorization = < " + canary + "> }"))
	f(target("headers = { Host = <" + canary + "> }"))
	// Secrets where a key belongs.
	f(target("headers = { \"Authorization: Bearer " + canary + "\" = \"\" }"))
	f(target("\"https://u:" + canary + "@host\" = 1"))
	f(target("whsec_" + canary + " = 1"))
	f("[target.\"http://u:" + canary + "@host\"]")
	// Secrets whose key is misspelt, and ones without quotes, or with half of them.
	f("[server]\nevent_tokn = \"" + canary + "\"")
	f("[server]\nevent_token = " + canary)
	f("[server]\nevent_token = \"" + canary)
	f("[server]\nevent_token = \"\"" + canary)
	f("[server]\nevent_token = \"\\u" + canary + "\"")
	f("[server]\nevent_token = 12" + canary)
	f("[server]\nevent_token = true" + canary)
	f("[server]\nevent_token = \"" + canary + "\"\nevent_token = \"" + canary + "\"")
	f("[server]\nevent_token = [\"" + canary + "\"]")
	f("[server]\nevent_token = { \"" + canary + "\" = 1 }")
	f("[server]\nevent_token = { " + canary + " = 1, " + canary + " = 2 }")
	f(target("secret." + canary + " = 1\nsecret." + canary + " = 2"))
	f(target("headers = { \"A: " + canary + "\" = 1, \"A: " + canary + "\" = 2 }"))
	// A pointer to a secret in a key that takes none shows where it points to, not what is there.
	f("[spool]\ndir = <env:V>")
}

// written replaces the <value> of a text by how it is written when it comes from a source.
func written(text, source string) (world, string) {
	before, rest, ok := strings.Cut(text, "<")
	if !ok {
		return world{}, text
	}
	value, after, _ := strings.Cut(rest, ">")
	switch source {
	case "env":
		return world{env: map[string]string{"V": value}}, before + `"env:V"` + after
	case "file":
		return world{files: map[string]string{"/v": value + "\n"}}, before + `"file:/v"` + after
	}
	return world{}, before + fmt.Sprintf("%q", value) + after
}

// TestConfigShowsNoSecret prints a whole config in every way that comes to mind.
func TestConfigShowsNoSecret(t *testing.T) {
	raw := []byte(strings.Repeat(canary, 3)[:32])
	key := base64.StdEncoding.EncodeToString(raw)
	w := world{files: map[string]string{"/creds": creds + canary}}
	c := w.mustParse(t, `
[server]
event_token = "`+canary+`"
admin_token = "`+canary+`"
[spool]
encryption_key = "`+key+`"
engine = "jetstream"
[spool.jetstream]
urls = ["nats://u:`+canary+`@host", "tls://`+canary+`@host:4222"]
credentials = "file:/creds"
monitor_url = "http://u:`+canary+`@host"
[alert.email]
smtp = "h:25"
to = ["a@b"]
tls = "none"
username = "u"
password = "`+canary+`"
[alert.webhook]
url = "https://u:`+canary+`@host/`+canary+`/`+canary+`?token=`+canary+`"
secret = "whsec_`+key+`"
headers = { Authorization = "`+canary+`" }
[target.t]
url = "https://u:`+canary+`@host/path?token=`+canary+`"
events = ["mesage"]
secret = "whsec_`+key+`"
headers = { Authorization = "`+canary+`" }
allow_addresses = ["0.0.0.0/0"]
[target.u]
url = "https://u:`+canary+`@host/path?token=`+canary+`"
events = ["*"]
[target.v]
url = "https://host/"
events = ["*"]
proxy = "http://u:`+canary+`@host:3128"
[target.v.oauth2]
token_url = "http://host/token?x=`+canary+`"
client_id = "c"
client_secret = "`+canary+`"
params = { x = "`+canary+`" }
`)
	numbers := strings.Trim(fmt.Sprint(raw), "[]")
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		for _, value := range []any{*c, c.Targets, c.Targets[0], c.Server, c.Spool, c.Spool.Key,
			c.Server.EventToken, c.Alert, c.Alert.Email, c.Alert.Webhook, c.Targets[0].Headers, &c.Targets[0],
			c.Targets[2], c.Targets[2].OAuth2, &c.Targets[2].OAuth2, c.Targets[2].Proxy} {
			fmt.Fprintf(&out, verb+"\n", value)
		}
	}
	for _, handler := range []slog.Handler{
		slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).Info("x", "config", c, "value", *c, "target", c.Targets[0],
			"oauth2", c.Targets[2].OAuth2, "proxy", c.Targets[2].Proxy,
			"webhook", c.Alert.Webhook, "token", c.Server.EventToken, "key", c.Spool.Key)
	}
	shown, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(shown)
	for _, warning := range c.Warnings() {
		out.WriteString(warning + "\n")
	}
	out.WriteString(MaskURL(c.Targets[0].URL))
	fmt.Fprint(&out, c.Spool.JetStream.Servers())
	for _, secret := range []string{canary, key, numbers, fmt.Sprintf("%x", canary),
		fmt.Sprintf("%X", canary)} {
		if i := strings.Index(out.String(), secret); i >= 0 {
			t.Errorf("shows %q: …%s", secret, out.String()[max(0, i-200):i+len(secret)])
		}
	}
	if !strings.Contains(string(shown), `"URL":"https://host/path?…"`) {
		t.Errorf("%s", shown)
	}
}

func TestSecret(t *testing.T) {
	f := func(got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	s, none := Secret("x"), Secret("")
	f(s.Reveal(), "x")
	f(s.GoString()+SecretBytes{1}.GoString(), `"<redacted>""<redacted>"`)
	f(fmt.Sprintf("%v %s %q %d %#v", s, s, s, s, s),
		`<redacted> <redacted> "<redacted>" <redacted> "<redacted>"`)
	f(fmt.Sprintf("[%v] %#v", none, none), `[] ""`)
	f(fmt.Sprintf("%v %x [%v]", SecretBytes{1}, SecretBytes{1}, SecretBytes(nil)),
		"<redacted> <redacted> []")
	shown, err := json.Marshal([]any{s, none, SecretBytes{1}, StatusPaused, NewSuccess(200)})
	f(fmt.Sprint(string(shown), err),
		`["\u003credacted\u003e","","\u003credacted\u003e","paused","200"]<nil>`)
}

func TestMaskURL(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		u, err := url.Parse(in)
		if err != nil {
			t.Fatal(err)
		}
		if got := MaskURL(u); got != want {
			t.Errorf("%q gives %q, want %q", in, got, want)
		}
	}
	f("https://crm.example.com/hook", "https://crm.example.com/hook")
	f("https://u:p@crm.example.com:8443/hook", "https://crm.example.com:8443/hook")
	f("https://u@h/a?b=c", "https://h/a?…")
	f("https://h?b", "https://h?…")
	f("https://h/a?", "https://h/a") // nothing in it that could be hidden
	f("https://h/a#frag", "https://h/a")
	f("http://[::1]:9/a%2Fb", "http://[::1]:9/a%2Fb")
	f("http://[fe80::1%25eth0]/", "http://[fe80::1%25eth0]/")
	if got := MaskURL(nil); got != "" {
		t.Errorf("nil gives %q", got)
	}
}
