package config

import (
	"errors"
	"io/fs"
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"
)

const examplePath = "../../config.example.toml"

// TestExampleListsEveryKey holds the example to the schema, which is what the decoder runs on: each
// key once, in the same order.
func TestExampleListsEveryKey(t *testing.T) {
	text, err := os.ReadFile(examplePath)
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]any
	meta, err := toml.Decode(string(text), &values)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, key := range meta.Keys() {
		if typ := meta.Type(key...); typ != "Hash" ||
			slices.Contains([]string{"headers", "batch", "params"}, key[len(key)-1]) {
			got = append(got, strings.Replace(key.String(), "target.local.", "target.NAME.", 1))
		}
	}
	c := Default()
	if want := keyNames("", schema(&c)); !slices.Equal(got, want) {
		t.Errorf("example has\n%q\nthe decoder knows\n%q", got, want)
	}
}

// TestExampleIsDefault loads the example and compares it with the defaults, field by field.
func TestExampleIsDefault(t *testing.T) {
	got, err := Load(examplePath)
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Path = examplePath
	local := DefaultTarget("local")
	local.URL = &url.URL{Scheme: "http", Host: "127.0.0.1:9000", Path: "/hook"}
	local.Events = []Pattern{"*"}
	want.Targets = []Target{local}
	want.Sources = got.Sources
	compareFields(t, "", reflect.ValueOf(*got), reflect.ValueOf(want))
	if len(got.Warnings()) != 1 { // that nobody gets mail
		t.Errorf("warnings: %q", got.Warnings())
	}
}

// compareFields names every field that differs; DeepEqual alone would only say that one does.
func compareFields(t *testing.T, path string, got, want reflect.Value) {
	for i := range got.NumField() {
		name := path + got.Type().Field(i).Name
		a, b := got.Field(i), want.Field(i)
		if a.Kind() == reflect.Struct && a.Type().Field(0).IsExported() {
			compareFields(t, name+".", a, b)
			continue
		}
		if name == "Targets" && a.Len() == b.Len() {
			for j := range a.Len() {
				compareFields(t, "target.", a.Index(j), b.Index(j))
			}
			continue
		}
		// Unexported fields of Success cannot be taken as interfaces, the value itself can.
		if !reflect.DeepEqual(a.Interface(), b.Interface()) {
			t.Errorf("%s: example %v, default %v", name, a, b)
		}
	}
}

// TestDefaults writes the numbers of the contract down a second time.
func TestDefaults(t *testing.T) {
	c := world{}.mustParse(t, "")
	want := Default()
	want.Path = "t.toml"
	if !reflect.DeepEqual(*c, want) {
		t.Errorf("an empty file gives %v", c)
	}
	f := func(name string, in, want any) {
		t.Helper()
		if !reflect.DeepEqual(in, want) {
			t.Errorf("%s is %v, want %v", name, in, want)
		}
	}
	f("listen", c.Server.Listen, []string{"127.0.0.1:8470"})
	f("admin_listen", c.Server.AdminListen, "127.0.0.1:8471")
	f("max_body_size", c.Server.MaxBodySize, int64(524288))
	f("read_timeout", c.Server.ReadTimeout, 10*time.Second)
	f("drain_timeout", c.Server.DrainTimeout, 25*time.Second)
	f("reload_check", c.Server.ReloadCheck, 5*time.Second)
	f("type_field", c.Event.TypeField, "eventType")
	f("dedupe_window", c.Event.DedupeWindow, 24*time.Hour)
	f("dir", c.Spool.Dir, "./hookspool-data")
	f("max_size", c.Spool.MaxSize, int64(10737418240))
	f("min_free_disk", c.Spool.MinFreeDisk, int64(536870912))
	f("keep_exhausted", c.Spool.KeepExhausted, 7*24*time.Hour)
	f("interval", c.Retry.Interval, 10*time.Minute)
	f("max_attempts", c.Retry.MaxAttempts, 144)
	f("stop_job_after", c.Retry.StopJobAfter, 64)
	f("after_failed_jobs", c.Defect.AfterFailedJobs, 100)
	f("window", c.Session.Window, 24*time.Hour)
	f("warn_at", c.Alert.WarnAt, []int{90})
	f("tls_expiry", c.Alert.TLSExpiry, 14*24*time.Hour)
	f("spool_percent", c.Alert.SpoolPercent, 80)
	f("webhook", c.Alert.Webhook.Timeout, 10*time.Second)
	f("webhook.success", c.Alert.Webhook.Target().Success.String(), "2xx")
	f("deliveries", c.Log.Deliveries, false)
	f("tls", c.Alert.Email.TLS, "starttls")
	f("level", c.Log.Level, slog.LevelInfo)
	f("success", DefaultTarget("x").Success.String(), "200")
	f("concurrency", DefaultTarget("x").Concurrency, 32)
}

// everyKey sets every key of the schema that needs no file to something else than its default.
const everyKey = `
[server]
listen = "unix:/run/e.sock"
admin_listen = "[::1]:1"
event_token = "env:TOKEN"
admin_token = "file:/run/pw"
max_body_size = "1MB"
read_timeout = "1s"
drain_timeout = "0s"
reload_check = "0s"
admin_hosts = ["hookspool", "relay.example.com."]
[event]
type_field = "data.type"
default_type = "env:just a type"
dedupe_window = "7d"
[spool]
dir = "/var/lib/hookspool"
max_size = "1.5GiB"
min_free_disk = "0B"
keep_delivered = "0s"
keep_exhausted = "1h"
encryption_key = "env:KEY"
engine = "jetstream"
[spool.jetstream]
urls = ["nats://u:p@a:4222", "env:SERVER"]
name = "other"
relay = "env:RELAY"
credentials = "file:/run/creds"
replicas = 1
monitor_url = "http://u:p@a:8222"
compare_every = "0s"
accept_unsafe = true
[retry]
interval = "10ms"
max_attempts = 0
stop_job_after = 0
[defect]
after_failed_jobs = 0
[session]
enabled = false
window = "1h"
key_fields = ["a"]
user_events = ["u"]
business_events = []
[alert]
warn_at = [50, 75]
tls_expiry = "1h"
spool_percent = 0
[alert.email]
warnings = true
smtp = "mail.example.com:587"
tls = "none"
username = "u"
password = "p"
from = "Hook <h@example.com>"
to = ["a@example.com", "b@example.com"]
[alert.webhook]
url = "env:URL"
timeout = "1s"
headers = { X-C = "3" }
allow_addresses = ["::1"]
[log]
level = "debug"
format = "json"
deliveries = true
[target.b]
url = "https://u:p@example.com/x?y=z"
status = "disabled"
events = ["m*", "n"]
success = ["2xx", 404]
timeout = "1m"
concurrency = 1
headers = { X-B = "2", X-A = "env:TOKEN" }
allow_addresses = ["10.0.0.0/8", "::1"]
where = ".a"
transform = "{a: .b}"
method = "PUT"
batch = { max_events = 7, max_wait = "0s", format = "ndjson" }
http = "auto"
proxy = "http://u:p@proxy.example.com:3128/"
[target]
a.url = "env:URL"
a.events = ["*"]
a.status = "paused"
a.order = "by .k"
[target.a.oauth2]
token_url = "https://auth/t?x=y"
client_id = "env:RELAY"
client_secret = "file:/run/pw"
scopes = ["w", "r"]
params = { resource = "r", audience = "env:TOKEN" }
`

// TestEveryKeyIsStored finds every value of everyKey in the Config.
func TestEveryKeyIsStored(t *testing.T) {
	key := strings.Repeat("A", 22) + "=="
	w := world{env: map[string]string{"TOKEN": "from-env", "URL": "http://x", "KEY": key,
		"SERVER": "tls://b", "RELAY": "r.1"},
		files: map[string]string{"/run/pw": "from-file\r\n\n", "/run/creds": creds}}
	c := w.mustParse(t, everyKey)
	want := Config{
		Path: "t.toml",
		Server: Server{Listen: []string{"unix:/run/e.sock"}, AdminListen: "[::1]:1",
			EventToken: "from-env", AdminToken: "from-file", MaxBodySize: 1e6,
			ReadTimeout: time.Second, AdminHosts: []string{"hookspool", "relay.example.com."}},
		Event: Event{"data.type", "env:just a type", 168 * time.Hour},
		Spool: Spool{Dir: "/var/lib/hookspool", MaxSize: 3 << 29, KeepExhausted: time.Hour,
			EncryptionKey: Secret(key), Key: make([]byte, 16), Engine: EngineJetStream,
			JetStream: JetStream{URLs: []Secret{"nats://u:p@a:4222", "tls://b"}, Name: "other",
				Relay: "r.1", Credentials: Secret(strings.TrimRight(creds, "\n")), Replicas: 1,
				MonitorURL: "http://u:p@a:8222", AcceptUnsafe: true}},
		Retry: Retry{Interval: 10 * time.Millisecond},
		Session: Session{Window: time.Hour, KeyFields: []string{"a"},
			UserEvents: []Pattern{"u"}},
		Alert: Alert{
			[]int{50, 75}, time.Hour, 0,
			Email{"mail.example.com:587", "none", "u", "p", "Hook <h@example.com>",
				[]string{"a@example.com", "b@example.com"}, true},
			Webhook{&url.URL{Scheme: "http", Host: "x"}, time.Second, nil,
				[]Header{{"X-C", "3"}}, "", []netip.Prefix{netip.MustParsePrefix("::1/128")}, PEM{}},
		},
		Log: Log{slog.LevelDebug, "json", true},
	}
	a, b := DefaultTarget("a"), DefaultTarget("b")
	a.URL, a.Events, a.Status = &url.URL{Scheme: "http", Host: "x"}, []Pattern{"*"}, StatusPaused
	b.URL, _ = url.Parse("https://u:p@example.com/x?y=z")
	b.Status, b.Events = StatusDisabled, []Pattern{"m*", "n"}
	for code := 200; code < 300; code++ {
		b.Success.add(code)
	}
	b.Success.add(404)
	b.Timeout, b.Concurrency, b.Method = time.Minute, 1, "PUT"
	b.HTTP, b.Batch = "auto", Batch{7, 0, "ndjson"}
	b.Proxy.URL = &url.URL{Scheme: "http", Host: "proxy.example.com:3128",
		User: url.UserPassword("u", "p")}
	b.Headers = []Header{{"X-A", "from-env"}, {"X-B", "2"}}
	b.AllowAddresses = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"),
		netip.MustParsePrefix("::1/128")}
	a.Order = Order{By: ".k"}
	b.Where, b.Transform = ".a", "{a: .b}"
	a.OAuth2 = OAuth2{&url.URL{Scheme: "https", Host: "auth", Path: "/t", RawQuery: "x=y"}, "r.1",
		"from-file", []string{"w", "r"}, []Header{{"audience", "from-env"}, {"resource", "r"}}}
	want.Targets = []Target{a, b}
	compareFields(t, "", reflect.ValueOf(*c), reflect.ValueOf(want))
}

// TestLoad reads real files: one that is there, one that is not, and one that is too large.
func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "h.toml")
	text := "\xef\xbb\xbf[retry]\r\ninterval = \"1m\"\r\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path)
	if err != nil || c.Retry.Interval != time.Minute || c.Path != path {
		t.Errorf("%v, %v", c, err)
	}
	_, err = Load(path + ".gone")
	if !errors.Is(err, fs.ErrNotExist) ||
		err.Error() != `cannot read config "`+path+`.gone": no such file or directory` {
		t.Errorf("%v", err)
	}
	var faults *Faults
	text = strings.Repeat("#\n", configBytesMax)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err = Load(path); !errors.As(err, &faults) ||
		faults.List[0].Message != "is larger than 1MiB" {
		t.Errorf("%v", err)
	}
}
