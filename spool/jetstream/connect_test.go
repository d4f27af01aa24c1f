package jetstream

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookspool/hookspool/spool/engine"
	cluster "github.com/hookspool/hookspool/testenv/nats"
	"github.com/hookspool/hookspool/testenv/port"
)

// errReached is what an opening ends with that has got as far as the replica.
var errReached = errors.New("the replica is next")

// open tries to open an engine and says how that ends.
func open(t *testing.T, o Options) error {
	t.Helper()
	o.Relay, o.Replicas, o.AcceptUnsafe = "a", 1, true
	return openAs(t, o)
}

func openAs(t *testing.T, o Options) error {
	t.Helper()
	o.Log = slog.New(slog.DiscardHandler)
	o.Replica = func() (engine.Engine, error) { return nil, errReached }
	if o.Name == "" {
		o.Name = "hs"
	}
	began := time.Now()
	e, err := Open(o)
	if err == nil {
		_ = e.Close()
		t.Fatal("it is opened")
	}
	if took := time.Since(began); took > o.OpenMax+2*answerMax {
		t.Errorf("after %s: %v", took, err)
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a password is shown: %v", err)
	}
	return err
}

// TestConnect asserts that users and TLS are what the servers want, and that each way in which they
// are not is told as what it is.
func TestConnect(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	roots := certify(t, dir)
	secured := cluster.StartInProcess(t, cluster.Options{Nodes: 1, Config: fmt.Sprintf(`
tls { cert_file: %q, key_file: %q }
authorization { users: [
  {user: hs, password: hunter2}
  {user: mute, password: hunter2, permissions: {publish: "nothing"}}
  {user: least, password: hunter2, permissions: {
    publish: ["least.>", "_HOOKSPOOL.least.>", "$JS.>", "_INBOX.>"]
    subscribe: ["least.>", "_HOOKSPOOL.least.>", "$JS.>", "_INBOX.>"]}}
]}`, filepath.Join(dir, "cert"), filepath.Join(dir, "key"))})
	plain := cluster.StartInProcess(t, cluster.Options{Nodes: 1})
	f := func(what string, want error, o Options) {
		t.Helper()
		o.OpenMax = 10 * time.Second
		if err := open(t, o); !errors.Is(err, want) {
			t.Errorf("%s: %v; want %v", what, err, want)
		}
	}
	at := func(scheme, user string) string {
		return scheme + user + secured.Node(0).Address()
	}
	insist := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	f("tls://", errReached, Options{URL: at("tls://", "hs:hunter2@"), TLS: insist})
	f("nats:// with roots", errReached, Options{URL: at("nats://", "hs:hunter2@"), TLS: insist})
	f("the system's roots", ErrTLS, Options{URL: at("tls://", "hs:hunter2@")})
	f("nats:// where TLS is wanted", ErrTLS, Options{URL: at("nats://", "hs:hunter2@")})
	f("tls:// where there is none", ErrTLS, Options{URL: plain.URL(), TLS: insist})
	f("a wrong user", ErrCredentials, Options{URL: at("tls://", "nobody:hunter2@"), TLS: insist})
	f("no user", ErrCredentials, Options{URL: at("tls://", ""), TLS: insist})
	f("no right", ErrPermission, Options{URL: at("tls://", "mute:hunter2@"), TLS: insist})
	// What the manual says is enough.
	log := &strings.Builder{}
	e, err := Open(Options{URL: at("tls://", "least:hunter2@"), TLS: insist, Name: "least", Relay: "a",
		Replicas: 1, AcceptUnsafe: true, Replica: replicaIn(dir),
		Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatalf("the least rights: %v", err)
	}
	_, err = e.Own(1)
	if err = errors.Join(err, e.Close()); err != nil || strings.Contains(log.String(), "level=ERROR") {
		t.Errorf("the least rights: %v\n%s", err, log)
	}
}

// TestConnectWaits asserts that a start waits for servers that are not there yet, and for a while
// only, or until it is to end.
func TestConnectWaits(t *testing.T) {
	t.Parallel()
	nobody, err := port.Free()
	if err != nil {
		t.Fatal(err)
	}
	url := "nats://u:hunter2@" + nobody
	err = open(t, Options{URL: url, OpenMax: 300 * time.Millisecond})
	if !errors.Is(err, engine.ErrUnavailable) || !strings.Contains(err.Error(), "refused") {
		t.Errorf("nobody answers: %v", err)
	}
	c := cluster.StartInProcess(t, cluster.Options{Nodes: 1})
	c.Node(0).Stop()
	waits := make(chan error, 1)
	go func() { waits <- open(t, Options{URL: c.URL(), OpenMax: time.Minute}) }()
	c.Node(0).Start()
	if err := <-waits; !errors.Is(err, errReached) {
		t.Errorf("a server comes late: %v", err)
	}
}

// TestProfile asserts that a server which answers before it syncs is refused, or warned of.
func TestProfile(t *testing.T) {
	t.Parallel()
	lazy := cluster.StartInProcess(t, cluster.Options{Nodes: 1, Sync: cluster.SyncDefault})
	always := cluster.StartInProcess(t, cluster.Options{Nodes: 1})
	without := cluster.StartInProcess(t, cluster.Options{Nodes: 1, Plain: true})
	silent := httptest.NewServer(http.NotFoundHandler())
	defer silent.Close()
	f := func(what string, want error, warnings int, o Options) {
		t.Helper()
		o.Log, o.Relay, o.Name = slog.New(slog.DiscardHandler), "a", cmp.Or(o.Name, "hs")
		if o.OpenMax = 10 * time.Second; o.Replicas == 0 {
			o.Replicas, o.AcceptUnsafe = 1, true
		}
		if err := openAs(t, o); !errors.Is(err, want) {
			t.Errorf("%s: %v; want %v", what, err, want)
		}
		found, err := Probe(t.Context(), o)
		if len(found.Warnings) != warnings || errors.Is(want, errReached) != (err == nil) {
			t.Errorf("%s: a probe finds %v, %v", what, found, err)
		}
	}
	f("always", errReached, 1, Options{URL: always.URL(), MonitorURL: always.Node(0).MonitorURL()})
	f("lazy and accepted", errReached, 2,
		Options{URL: lazy.URL(), MonitorURL: lazy.Node(0).MonitorURL()})
	f("lazy", ErrUnsafe, 0, Options{URL: lazy.URL(), MonitorURL: lazy.Node(0).MonitorURL(),
		Replicas: 1})
	f("no monitor", errReached, 2, Options{URL: always.URL(), MonitorURL: silent.URL})
	f("few replicas", ErrUnsafe, 0, Options{URL: always.URL(), Replicas: 3})
	f("no JetStream", ErrNoJetStream, 0, Options{URL: without.URL()})
	err := open(t, Options{URL: always.URL(), Name: "large", MaxBytes: 1 << 40,
		OpenMax: 10 * time.Second})
	if !errors.Is(err, ErrRoom) {
		t.Errorf("no room: %v", err)
	}
	err = openAs(t, Options{URL: always.URL(), Replicas: 3, Name: "other", Relay: "a",
		OpenMax: 10 * time.Second})
	if !errors.Is(err, ErrUnsafe) {
		t.Errorf("no cluster: %v", err)
	}
}

// TestWiden asserts that a stream gets more room from a relay that gives it more, and never less.
func TestWiden(t *testing.T) {
	t.Parallel()
	c := cluster.StartInProcess(t, cluster.Options{Nodes: 1})
	js, err := jetstream.New(c.Connect())
	if err != nil {
		t.Fatal(err)
	}
	defer js.Conn().Close()
	f := func(most, want int64) {
		t.Helper()
		o := Options{URL: c.URL(), MaxBytes: most, OpenMax: 10 * time.Second}
		if err := open(t, o); !errors.Is(err, errReached) {
			t.Fatal(err)
		}
		s, err := js.Stream(t.Context(), "hs")
		if err != nil {
			t.Fatal(err)
		}
		if got := s.CachedInfo().Config.MaxBytes; got != want {
			t.Errorf("a stream that is opened with %d bytes has %d; want %d", most, got, want)
		}
	}
	mib := func(n int64) int64 { return wanted(Options{MaxBytes: n << 20}).MaxBytes }
	f(64<<20, mib(64))
	f(128<<20, mib(128))
	f(32<<20, mib(128))
}

// certify makes a certificate for loopback in a directory, and the roots that it is known by.
func certify(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	for name, block := range map[string]*pem.Block{"cert": {Type: "CERTIFICATE", Bytes: cert},
		"key": {Type: "PRIVATE KEY", Bytes: secret}} {
		text := pem.EncodeToMemory(block)
		if name == "cert" {
			roots.AppendCertsFromPEM(text)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return roots
}
