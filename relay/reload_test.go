package relay

import (
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/hookspool/hookspool/relay/config"
)

// onDisk is a fixture whose config is a file, with a certificate and a header in files beside it.
// reload_check is off: looks are calls.
type onDisk struct {
	*fixture
	dir string
}

func newOnDisk(t *testing.T) *onDisk {
	t.Helper()
	f := &onDisk{newFixture(t), t.TempDir()}
	server := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	f.write("ca.pem", string(ca))
	f.write("key", "one")
	f.write("h.toml", fmt.Sprintf(`
[server]
listen = "127.0.0.1:0"
admin_listen = "127.0.0.1:0"
reload_check = "0s"
drain_timeout = "2s"
[spool]
dir = %q
min_free_disk = "0B"
[alert.webhook]
url = %q
ca_file = %q
[target.crm]
url = %q
events = ["*"]
ca_file = %q
headers = { X-Key = "file:%s" }
`, f.cfg.Spool.Dir, server.URL, f.path("ca.pem"), server.URL, f.path("ca.pem"), f.path("key")))
	cfg, err := config.Load(f.path("h.toml"))
	if err != nil {
		t.Fatal(err)
	}
	f.cfg = *cfg
	f.start()
	return f
}

func (f *onDisk) path(name string) string { return f.dir + "/" + name }

func (f *onDisk) write(name, text string) {
	f.t.Helper()
	if err := os.WriteFile(f.path(name), []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// key is the header as it is sent now.
func (f *onDisk) key() string {
	return f.laneNamed("crm").work.Load().target.Headers[0].Value.Reveal()
}

// A reload of equal values keeps the clients of targets and alerts, certificates or not, and with
// them their connections; other content of a certificate does not.
func TestReloadKeepsClients(t *testing.T) {
	t.Parallel()
	f := newOnDisk(t)
	reload := func() (*work, any) {
		t.Helper()
		if _, err := f.Reload(); err != nil {
			t.Fatal(err)
		}
		return f.laneNamed("crm").work.Load(), f.setup.Load().poster
	}
	work, poster := reload()
	if w, p := reload(); w != work || p != poster {
		t.Error("a reload of equal values made new clients")
	}
	ca, err := os.ReadFile(f.path("ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	f.write("ca.pem", string(ca)+string(ca))
	if w, p := reload(); w == work || p == poster {
		t.Error("clients with an old certificate are used")
	}
}

// What is found changed is read once it rests, or has not rested for too long.
func TestLookSettles(t *testing.T) {
	t.Parallel()
	f := newOnDisk(t)
	look := func(want bool) {
		t.Helper()
		if got := f.reloads.look(); got != want {
			t.Errorf("look again soon: %v", got)
		}
	}
	look(false)
	f.write("key", "two")
	look(true)
	if got := f.key(); got != "one" {
		t.Errorf("the key is %q at the first look", got)
	}
	look(false)
	if got := f.key(); got != "two" {
		t.Errorf("the key is %q at the second look", got)
	}
	f.write("key", "three")
	look(true)
	f.write("key", "two") // it was nothing
	look(false)
	for i := range settleLooks {
		f.write("key", fmt.Sprint("restless-", i))
		look(true)
	}
	f.write("key", "restless")
	look(false)
	if got := f.key(); got != "restless" {
		t.Errorf("the key is %q although it never rested", got)
	}
}

// A config that is not at fault, but could not be put to work for a reason of this machine's, is
// tried again; the same reason is said once.
func TestReloadAgain(t *testing.T) {
	t.Parallel()
	f := newOnDisk(t)
	f.write("key", "two")
	f.reloads.look()
	f.reloads.look()
	if f.key() != "two" || f.reloads.failed != nil {
		t.Fatalf("the key is %q, %v", f.key(), f.reloads.failed)
	}
	f.reloads.failed = errors.New("the disk is full")
	f.reloadBad.Store(true)
	f.reloads.look()
	if f.reloads.failed != nil || f.reloadBad.Load() {
		t.Error("it was not tried again")
	}
	at := f.reloadAt.Load()
	f.reloads.look()
	if f.reloadAt.Load() != at {
		t.Error("it was put to work once more, although nothing has changed")
	}
}
