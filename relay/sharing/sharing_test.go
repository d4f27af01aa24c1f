package sharing

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/spool/care"
	"github.com/hookspool/hookspool/spool/engine"
)

// TestJetStream asserts that what the config says is what the engine is opened with.
func TestJetStream(t *testing.T) {
	t.Parallel()
	cfg := config.Default()
	j := &cfg.Spool.JetStream
	j.URLs = []config.Secret{"nats://u:p@a", "tls://b"}
	j.Credentials, j.MonitorURL, j.AcceptUnsafe = "creds", "http://m", true
	cfg.Spool.MaxSize, cfg.Spool.Key = 7, []byte("key")
	o, err := JetStream(&cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if o.URL != "nats://u:p@a,tls://b" || o.Name != "hookspool" || o.Relay != host ||
		o.Replicas != 3 || o.CompareEvery != 30*time.Second || o.MaxBytes != 7 || string(o.Key) != "key" || o.MonitorURL != "http://m" ||
		string(o.Credentials) != "creds" || !o.AcceptUnsafe || o.TLS != nil {
		t.Errorf("%+v", o)
	}
	j.Relay = "r"
	j.PEM.Cert, j.PEM.Key = pair(t)
	j.PEM.CA = j.PEM.Cert
	o, err = JetStream(&cfg, nil)
	if err != nil || o.Relay != "r" || o.TLS == nil || o.TLS.RootCAs == nil ||
		len(o.TLS.Certificates) != 1 {
		t.Errorf("%+v, %v", o, err)
	}
	j.PEM.Key = nil
	if _, err := JetStream(&cfg, nil); err == nil {
		t.Error("half of a pair is taken")
	}
}

// TestOpenHome asserts that a directory is refused that is another spool's or another relay's, before
// a server is asked, and that nothing in it is touched.
func TestOpenHome(t *testing.T) {
	t.Parallel()
	cfg := config.Default()
	cfg.Spool.Dir = filepath.Join(t.TempDir(), "spool")
	f := func(want error) {
		t.Helper()
		e, err := Open(Options{Config: &cfg, Log: slog.New(slog.DiscardHandler)})
		if err == nil {
			_ = e.Close()
		}
		if !errors.Is(err, want) {
			t.Errorf("%v; want %v", err, want)
		}
	}
	lock, err := care.Lock(cfg.Spool.Dir)
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(cfg.Spool.Dir, care.ReplicaDir)
	if err := os.Mkdir(copied, 0o700); err != nil {
		t.Fatal(err)
	}
	f(engine.ErrInUse)
	if err := errors.Join(care.CheckHome(cfg.Spool.Dir, true), lock.Close()); err != nil {
		t.Error(err)
	}
	if err := care.CheckHome(cfg.Spool.Dir, false); !errors.Is(err, care.ErrReplica) {
		t.Errorf("an embedded spool beside a copy: %v", err)
	}
	if _, err := os.Stat(copied); err != nil {
		t.Errorf("another's copy is touched: %v", err)
	}
	if err := os.Mkdir(filepath.Join(cfg.Spool.Dir, "db"), 0o700); err != nil {
		t.Fatal(err)
	}
	f(care.ErrEmbedded)
}

// pair is a certificate and its key.
func pair(t *testing.T) (cert, key []byte) {
	t.Helper()
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &secret.PublicKey, secret)
	if err != nil {
		t.Fatal(err)
	}
	pkcs, err := x509.MarshalPKCS8PrivateKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs})
}
