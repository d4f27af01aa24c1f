package testenv

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hookspool/hookspool/testenv/effort"
)

// volume is a directory of secrets as the kubelet keeps one: every file is a link through ..data,
// which is replaced with all of them at once.
type volume struct {
	t    *testing.T
	dir  string
	next int
}

func newVolume(t *testing.T) *volume {
	t.Helper()
	return &volume{t: t, dir: t.TempDir()}
}

func (v *volume) path(name string) string { return filepath.Join(v.dir, name) }

// set replaces all files.
func (v *volume) set(files map[string]string) {
	v.t.Helper()
	v.next++
	version := "..v" + strconv.Itoa(v.next)
	must := func(err error) {
		v.t.Helper()
		if err != nil {
			v.t.Fatal(err)
		}
	}
	must(os.Mkdir(v.path(version), 0o700))
	for name, text := range files {
		must(os.WriteFile(filepath.Join(v.dir, version, name), []byte(text), 0o600))
		if err := os.Symlink(filepath.Join("..data", name), v.path(name)); !errors.Is(err, os.ErrExist) {
			must(err)
		}
	}
	must(os.Symlink(version, v.path("..data_tmp")))
	must(os.Rename(v.path("..data_tmp"), v.path("..data")))
}

func keyOf(c string) string {
	return "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat(c, 24)))
}

// TestP7SecretsOnDisk asserts that what file: and ca_file name is compared by content at
// reload_check, as Kubernetes swaps it: new values are used, without a restart and without a word
// of anybody; equal ones change nothing and cost no connection; bad ones change nothing, are said
// once and again when they are others, and are made well by good ones.
func TestP7SecretsOnDisk(t *testing.T) {
	t.Parallel()
	j, v := NewJourney(t), newVolume(t)
	front := NewTLSFront(t, j.RX, time.Now().Add(time.Hour))
	ca := readFile(t, front.CAFile)
	write := func(token, key, ca string) {
		t.Helper()
		v.set(map[string]string{"token": token, "key": key, "ca.pem": ca})
	}
	const first, second = "the-first-admin-token", "the-second-admin-token"
	write(first, keyOf("a")+"\n", ca)
	j.Config.Set("server.reload_check", "20ms").Set("retry.interval", "50ms").
		Set("server.admin_token", "file:"+v.path("token")).
		Target("crm", front.URL("crm"), "secret", "file:"+v.path("key"), "ca_file", v.path("ca.pem"),
			"headers", map[string]string{"X-Key": "file:" + v.path("key")}, "timeout", "30s")
	j.UseAdminToken(first)
	j.Start()
	sent := 0
	delivered := func(key string) Request {
		t.Helper()
		sent++
		id := "event-" + strconv.Itoa(sent)
		j.Send(Post{ID: id, Body: []byte(`{}`)})
		req := j.RX.AwaitID("crm", id)
		if got := req.Header.Get("X-Key"); got != key {
			t.Errorf("%s came with key %q, want %q", id, got, key)
		}
		body := filepath.Join(j.Dir, id)
		if err := os.WriteFile(body, req.Body, 0o600); err != nil {
			t.Fatal(err)
		}
		if out := j.CLI("verify", "--secret", key, "--id", id, "--timestamp",
			req.Header.Get("webhook-timestamp"), "--signature", req.Header.Get("webhook-signature"),
			body); out.Code != 0 {
			t.Errorf("%s is not signed with %q: %s", id, key, out.Stderr)
		}
		return req
	}
	// A connection that rests for four seconds is closed anyway, so that one which took longer to be
	// asked for again says nothing and another is tried.
	keeps := func(what string, do func()) {
		t.Helper()
		last := delivered(keyOf("a"))
		Until(t, Patience, "a connection to be used again soon", func() bool {
			before := last
			do()
			last = delivered(keyOf("a"))
			if last.Conn != before.Conn && last.At.Sub(before.At) < 3*time.Second {
				t.Fatalf("%s closed a connection", what)
			}
			return last.Conn == before.Conn
		})
	}
	before := j.Status().ReloadedAt
	keeps("equal values", func() {
		write(first, keyOf("a"), ca+"\n") // new files, equal values
		j.AwaitTicks(10)
	})
	if j.Status().ReloadedAt != before {
		t.Error("equal values were reloaded")
	}
	keeps("a reload of equal values", func() {
		if code, body := j.Admin("POST", "/v1/reload"); code != 200 {
			t.Fatalf("POST /v1/reload answered %d: %s", code, body)
		}
	})
	j.client.adminToken = second
	write(second, keyOf("b"), ca)
	Until(t, Patience, "the second token", func() bool {
		code, _ := j.Admin("GET", "/v1/status")
		return code == 200
	})
	delivered(keyOf("b"))
	// The client of the verbs has the token from the same file.
	if out := j.CLI("targets"); out.Code != 0 {
		t.Errorf("targets left with %d: %s", out.Code, out.Stderr)
	}
	healthy := func(want int) func() bool {
		return func() bool { return j.Metrics().Get("config_last_reload_successful") == want }
	}
	for i, bad := range []string{"", "half of a k", "whsec_!!", "whsec_!!!"} {
		write(second, bad, ca)
		said := func() int { return j.LogCount("cannot reload the config") }
		Until(t, Patience, "the bad secret to be told", func() bool { return said() > i })
		j.AwaitTicks(10)
		if n := said(); n != i+1 || !healthy(0)() {
			t.Errorf("after %d bad secrets it was said %d times", i+1, n)
		}
		delivered(keyOf("b"))
	}
	write(second, keyOf("c"), "no certificate")
	Until(t, Patience, "the bad certificate", func() bool { return j.LogCount("no certificate") > 0 })
	delivered(keyOf("b"))
	write(second, keyOf("c"), ca)
	Until(t, Patience, "good files", healthy(1))
	delivered(keyOf("c"))
	j.Ledger.AwaitDelivered()
}

// TestP7SecretsAtCheckZero asserts that with reload_check 0s only a signal or the API looks.
func TestP7SecretsAtCheckZero(t *testing.T) {
	t.Parallel()
	j, v := NewJourney(t), newVolume(t)
	v.set(map[string]string{"key": "one"})
	j.Config.Set("retry.interval", "50ms").Target("crm", j.RX.URL("crm"), "headers",
		map[string]string{"X-Key": "file:" + v.path("key")})
	j.Start()
	f := func(id, want string) {
		t.Helper()
		j.Send(Post{ID: id, Body: []byte(`{}`)})
		if got := j.RX.AwaitID("crm", id).Header.Get("X-Key"); got != want {
			t.Errorf("%s came with key %q, want %q", id, got, want)
		}
	}
	f("before", "one")
	v.set(map[string]string{"key": "two"})
	j.AwaitTicks(30)
	f("unseen", "one")
	j.Reload()
	f("after", "two")
}

// newPair is a certificate with its key, both PEM.
func newPair(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(typ string, b []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: b}))
	}
	return encode("CERTIFICATE", der), encode("PRIVATE KEY", keyDER)
}

// TestP7CertificateThenKey asserts that a certificate that is replaced before its key is a failure
// only for as long as the two do not belong together.
func TestP7CertificateThenKey(t *testing.T) {
	t.Parallel()
	j, dir := NewJourney(t), t.TempDir()
	certA, keyA := newPair(t)
	certB, keyB := newPair(t)
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("cert", certA)
	write("key", keyA)
	front := NewTLSFront(t, j.RX, time.Now().Add(time.Hour))
	j.Config.Set("server.reload_check", "20ms").
		Target("crm", front.URL("crm"), "ca_file", front.CAFile, "client_cert",
			filepath.Join(dir, "cert"), "client_key", filepath.Join(dir, "key"))
	j.Start()
	healthy := func(want int) func() bool {
		return func() bool { return j.Metrics().Get("config_last_reload_successful") == want }
	}
	write("cert", certB)
	Until(t, Patience, "the mismatch to be told", healthy(0))
	j.SendIDs("between", 3)
	j.Ledger.AwaitDelivered()
	write("key", keyB)
	Until(t, Patience, "the pair", healthy(1))
	if n := j.LogCount("cannot reload the config"); n != 1 {
		t.Errorf("the mismatch was said %d times", n)
	}
	j.SendIDs("after", 3)
	j.Ledger.AwaitDelivered()
}

// TestP7KeyNeedsRestart asserts that a new encryption key is said to need a restart, once in the log
// however often the config is read after it, and in every answer of the API; and changes nothing.
func TestP7KeyNeedsRestart(t *testing.T) {
	t.Parallel()
	j, v := NewJourney(t).Aim("crm"), newVolume(t)
	key := func(c string) map[string]string {
		return map[string]string{"key": base64.StdEncoding.EncodeToString([]byte(strings.Repeat(c, 32)))}
	}
	v.set(key("a"))
	j.Config.Set("server.reload_check", "20ms").Set("retry.interval", "50ms").
		Set("spool.encryption_key", "file:"+v.path("key"))
	j.Start()
	v.set(key("b"))
	said := func() int { return j.LogCount("need a restart", "spool.encryption_key") }
	Until(t, Patience, "the new key to be told", func() bool { return said() > 0 })
	j.Config.Set("target.crm.timeout", "7s")
	j.Reload()
	if _, body := j.Admin("POST", "/v1/reload"); !strings.Contains(string(body),
		`"restart_needed":["spool.encryption_key"]`) {
		t.Errorf("POST /v1/reload answers %s", body)
	}
	v.set(key("c"))
	j.AwaitTicks(10)
	if n := said(); n != 1 {
		t.Errorf("the new key was said %d times", n)
	}
	j.SendIDs("after", 3)
	j.Ledger.AwaitDelivered()
	v.set(key("a"))
	j.Restart()
}

// soon runs a verb and kills it when it hangs.
func soon(t *testing.T, args ...string) (code int, output string) {
	t.Helper()
	bin, err := Binary()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, args...)
	cmd.Dir = t.TempDir()
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		t.Errorf("%q hangs", args)
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// TestP7Pipe asserts that a path that leads to a pipe is refused with words by whoever reads it, and
// holds nobody up: check, serve, the verbs, a reload by file, signal and API, and SIGTERM.
func TestP7Pipe(t *testing.T) {
	effort.OnlyLong(t, "it waits for ticks")
	t.Parallel()
	j := NewJourney(t)
	pipe, regular := filepath.Join(j.Dir, "pipe"), filepath.Join(j.Dir, "regular")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(regular, []byte("a-token-of-the-admin\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const words = "it is a pipe, and only regular files are read"
	f := func(args ...string) {
		t.Helper()
		if code, out := soon(t, args...); code != 1 || !strings.Contains(out, words) {
			t.Errorf("%q left with %d:\n%s", args, code, out)
		}
	}
	for _, verb := range []string{"check", "serve", "targets", "healthcheck"} {
		f(verb, "--config", pipe)
	}
	named := filepath.Join(j.Dir, "named.toml")
	for _, text := range []string{"[server]\nadmin_token = \"file:" + pipe + "\"\n",
		"[server]\nlisten = \"127.0.0.1:0\"\n[target.crm]\nurl = \"https://127.0.0.1:9\"\nevents = " +
			"[\"*\"]\nca_file = \"" + pipe + "\"\n",
		"[alert.webhook]\nurl = \"https://127.0.0.1:9/x\"\nca_file = \"" + pipe + "\"\n"} {
		if err := os.WriteFile(named, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		f("check", "--config", named)
		f("serve", "--config", named)
	}
	// A verb may be given a pipe by a shell, but does not wait for one that says nothing.
	if code, out := soon(t, "sign", "--id", "x", "--secret", "file:"+pipe, regular); code != 1 ||
		!strings.Contains(out, "could not be read within") {
		t.Errorf("sign left with %d:\n%s", code, out)
	}
	j.UseAdminToken("a-token-of-the-admin")
	j.Config.Set("server.reload_check", "20ms").Set("retry.interval", "50ms").
		Set("server.admin_token", "file:"+regular)
	j.Start()
	if err := os.Rename(pipe, regular); err != nil {
		t.Fatal(err)
	}
	Until(t, Patience, "the pipe to be told", func() bool { return j.LogCount(words) > 0 })
	j.AwaitTicks(10)
	if n := j.LogCount(words); n != 1 {
		t.Errorf("the pipe was said %d times", n)
	}
	j.Signal(syscall.SIGHUP)
	if code, body := j.Admin("POST", "/v1/reload"); code != 422 || !strings.Contains(string(body), words) {
		t.Errorf("POST /v1/reload answered %d: %s", code, body)
	}
	began := time.Now()
	if code := j.Terminate(); code != 0 || time.Since(began) > Patience {
		t.Errorf("it left with %d after %s", code, time.Since(began))
	}
}
