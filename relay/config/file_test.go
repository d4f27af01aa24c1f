package config

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// soon fails a test whose call does not return: on the code that opened a pipe it never did.
func soon(t *testing.T, what string, call func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		call()
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatalf("%s hangs", what)
	}
}

// TestOnlyRegularFiles names everything that is no regular file wherever a path may stand, and
// expects a word about it, and soon.
func TestOnlyRegularFiles(t *testing.T) {
	dir := t.TempDir()
	pipe, link, socket := dir+"/pipe", dir+"/link", dir+"/socket"
	makePipe(t, pipe)
	if err := os.Symlink(pipe, link); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	config := filepath.Join(dir, "h.toml")
	f := func(path, what string) {
		t.Helper()
		want := "it is " + what + ", and only regular files are read"
		soon(t, path, func() {
			if _, err := Load(path); err == nil || !strings.HasSuffix(err.Error(), want) {
				t.Errorf("the config is %s: %v", path, err)
			}
		})
		for _, text := range []string{"[server]\nadmin_token = \"file:" + path + "\"",
			"[spool]\nencryption_key = \"file:" + path + "\"",
			"[alert.webhook]\nurl = \"https://x/y\"\nca_file = \"" + path + "\"",
			target("secret = [\"file:" + path + "\"]"), target("headers = { A = \"file:" + path + "\" }"),
			target("ca_file = \"" + path + "\""),
			target("client_cert = \"" + path + "\"\nclient_key = \"" + path + "\"")} {
			if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			soon(t, text, func() {
				if _, err := Load(config); err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%s\n%v", text, err)
				}
			})
		}
	}
	f(pipe, "a pipe")
	f(link, "a pipe")
	f(socket, "a socket")
	f(dir, "a directory")
	f("/dev/zero", "a device")
	f("/dev/tty", "a device")
}

// TestPipeInBetween has a file turn into a pipe and back while it is read: whatever is opened,
// nothing waits.
func TestPipeInBetween(t *testing.T) {
	dir := t.TempDir()
	path, pipe, regular := dir+"/file", dir+"/pipe", dir+"/regular"
	makePipe(t, pipe)
	if err := os.WriteFile(regular, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			from := []string{regular, pipe}[i%2]
			_ = os.Link(from, dir+"/next")
			_ = os.Rename(dir+"/next", path)
		}
	}()
	soon(t, "reading", func() {
		files, seen := new(Files), map[bool]int{}
		for seen[true] < 200 || seen[false] < 200 {
			text, err := files.Read(path)
			if errors.Is(err, fs.ErrNotExist) {
				continue // it was not there yet
			}
			if err == nil && string(text) != "x" || err != nil && !strings.Contains(err.Error(), "a pipe") {
				t.Errorf("read %q, %v", text, err)
			}
			seen[err == nil]++
		}
	})
	close(stop)
	<-stopped
}

// TestSlowFile has files that do not answer, as on a network that is gone: each is given up, is not
// asked again before it has answered, and costs no more than its share of threads.
func TestSlowFile(t *testing.T) {
	dir, ended := t.TempDir(), make(chan struct{})
	files := &Files{Pipes: true, Ended: ended}
	close(ended) // as if the time was up
	var pipes []string
	for i := range stuckMax {
		pipe := dir + "/" + strings.Repeat("p", i+1)
		makePipe(t, pipe)
		pipes = append(pipes, pipe)
		soon(t, "a slow file", func() {
			if _, err := files.Read(pipe); err == nil || !strings.Contains(err.Error(), "the relay stops") {
				t.Errorf("a pipe without another end: %v", err)
			}
		})
	}
	files.Ended = nil
	other := dir + "/other"
	if err := os.WriteFile(other, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{pipes[0], other} {
		if _, err := files.Read(path); err == nil || !strings.Contains(err.Error(), "within 5s") {
			t.Errorf("%s beside %d slow files: %v", path, stuckMax, err)
		}
	}
	for _, pipe := range pipes {
		end, err := os.OpenFile(pipe, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		end.Close()
	}
	var err error
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		if _, err = files.Read(other); err == nil {
			return
		}
	}
	t.Errorf("after the slow files have answered: %v", err)
}

// TestSources asserts that the content of every file counts, and nothing else of it.
func TestSources(t *testing.T) {
	dir := t.TempDir()
	path, token, key := dir+"/h.toml", dir+"/token", dir+"/key"
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	write(path, "[server]\nadmin_token = \"file:"+token+"\"\n"+target("ca_file = \""+key+"\""))
	write(token, "one")
	cert, _ := newCert(t)
	write(key, cert)
	files := new(Files)
	c, sources, err := files.Load(path)
	if err != nil || c.Sources != sources || string(c.Targets[0].PEM.CA) != strings.TrimSpace(cert) {
		t.Fatal(c, err)
	}
	f := func(what string, equal bool) {
		t.Helper()
		if now := sources.Again(files); now.Equal(sources) != equal {
			t.Errorf("%s: equal is %v", what, !equal)
		}
	}
	f("nothing changed", true)
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(token, old, old); err != nil {
		t.Fatal(err)
	}
	f("touched", true)
	write(token, "one\n")
	f("a newline", true)
	write(token, "two")
	f("another token", false)
	if err := os.Chtimes(token, old, old); err != nil {
		t.Fatal(err)
	}
	f("another token of the same age", false)
	if err := os.Remove(token); err != nil {
		t.Fatal(err)
	}
	f("a token that is gone", false)
	_, gone, err := files.Load(path)
	if err == nil || gone.Equal(sources) || !gone.Again(files).Equal(gone) {
		t.Errorf("a config whose token is gone: %v", err)
	}
	write(token, "one")
	f("the token is back", true)
	write(key, cert+cert)
	f("another certificate", false)
}
