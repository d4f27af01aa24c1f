package testenv

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The threats to access, each with its defence and the test that holds it:
//
//	the admin API is open to a network   loopback by default, token elsewhere  TestP8AdminListen
//	tokens are guessed byte by byte      constant-time comparison              TestP8TokenComparison
//	a page rebinds its name to loopback  the Host header is checked            TestP8Browser
//	a page posts to loopback (CSRF)      Origin and Sec-Fetch-Site             TestP8Browser
//	a page takes all streams             the same, for reads that hold         TestP8StreamOrigin
//	silent connections keep probes out   the oldest of them goes               TestP8Crowd
//	a page frames or sniffs an answer    headers on every answer               TestP8SecurityHeaders
//	the sample call is used to reach in  targets come from the config alone    TestP8Browser
//	a second request hides in a first    framing is checked first              TestP7Framing
//	others read the spool or the socket  modes                                 TestP8FileModes
//	secrets leak into what is shown      they are redacted everywhere          TestP8SecretsStaySecret,
//	                                                                           TestP8EchoedSecrets
//	a name resolves inward               the dialled address is judged         TestP8Rebinding
//	an address is written oddly          the same                              TestP8AddressRules

// ask makes one request of the admin listener with headers "Name: value"; Host is one of them.
func ask(t *testing.T, r *Relay, method, path, body string, headers ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequest(method, "http://"+r.AdminAddress()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			req.Host = value
		} else {
			req.Header.Set(name, value)
		}
	}
	resp, err := r.client.admin.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp
}

// TestP8AdminListen asserts that the admin listener is on loopback by default, and that any other
// place without a token is refused by check and by serve, before anything is bound or made.
func TestP8AdminListen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "c.toml")
	check := func(verb, text string) Output {
		t.Helper()
		text = "[spool]\ndir = \"" + dir + "/spool\"\nmin_free_disk = \"1MiB\"\n" + text
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return CLI(t, nil, verb, "--config", path)
	}
	if out := check("check", ""); out.Code != 0 && !strings.Contains(out.Stdout, inUse) ||
		!strings.Contains(out.Stdout, "127.0.0.1:8471") {
		t.Errorf("the default: code %d\n%s%s", out.Code, out.Stdout, out.Stderr)
	}
	// No name server hears of a name with a label of 64 bytes.
	name := strings.Repeat("r", 64) + ".example:0"
	for _, address := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0", name,
		"[::ffff:0.0.0.0]:0", "[2001:db8::1]:0"} {
		for _, verb := range []string{"check", "serve"} {
			out := check(verb, fmt.Sprintf("[server]\nadmin_listen = %q\n", address))
			if out.Code == 0 || !strings.Contains(out.Stderr+out.Stdout, "admin_token") {
				t.Errorf("%s with %s and no token: code %d\n%s", verb, address, out.Code, out.Stderr)
			}
		}
		out := check("check", fmt.Sprintf("[server]\nlisten = \"127.0.0.1:0\"\nadmin_listen = %q\n"+
			"admin_token = \"a-token-that-is-long-enough\"\n", address))
		// Not every address is this machine's; the token is no fault of any.
		if said := out.Stderr + out.Stdout; out.Code != 0 &&
			!strings.Contains(said, "problem: server.admin_listen: cannot listen") {
			t.Errorf("%s with a token: code %d\n%s", address, out.Code, said)
		}
	}
	for _, address := range []string{"127.0.0.2:0", "[::1]:0", "localhost:0", "[::ffff:127.0.0.1]:0",
		"unix:" + dir + "/admin.sock"} {
		out := check("check", fmt.Sprintf("[server]\nlisten = \"127.0.0.1:0\"\nadmin_listen = %q\n",
			address))
		if out.Code != 0 {
			t.Errorf("%s: code %d\n%s", address, out.Code, out.Stderr+out.Stdout)
		}
	}
	if _, err := os.Stat(dir + "/spool"); err == nil {
		t.Error("a refused config has made a spool")
	}
}

// TestP8Browser asserts that a browser which shows a foreign page changes nothing and reads nothing:
// by a rebound name, a form, a fetch, or the sample call with a URL of its own.
func TestP8Browser(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("crm")
	j.Start()
	_, port, err := net.SplitHostPort(j.AdminAddress())
	if err != nil {
		t.Fatal(err)
	}
	f := func(want int, method, path, body string, headers ...string) {
		t.Helper()
		if got := ask(t, j.Relay, method, path, body, headers...).StatusCode; got != want {
			t.Errorf("%s %s %q: answered %d, want %d", method, path, headers, got, want)
		}
	}
	for _, path := range []string{"/", "/metrics", "/readyz", "/v1/status", "/v1/targets", "/nothing"} {
		f(421, "GET", path, "", "Host: evil.example:"+port)
		f(421, "GET", path, "", "Host: 127.0.0.1.evil.example:"+port)
		f(421, "GET", path, "", "Host: localhost.evil.example")
	}
	const pause = "/v1/targets/crm/pause"
	f(421, "POST", pause, "", "Host: evil.example:"+port, "Origin: http://evil.example:"+port)
	for _, origin := range []string{"http://evil.example", "null", "http://127.0.0.1:1", "file://",
		"http://localhost:" + port, "http://127.0.0.1:" + port + ".evil.example", "x", "://"} {
		f(403, "POST", pause, "", "Origin: "+origin)
	}
	for _, site := range []string{"cross-site", "same-site", "CROSS-SITE", "anything"} {
		f(403, "POST", pause, "", "Sec-Fetch-Site: "+site)
		f(403, "POST", "/v1/targets/crm/sample", "", "Sec-Fetch-Site: "+site)
		f(403, "POST", "/v1/reload", "", "Sec-Fetch-Site: "+site)
	}
	f(400, "POST", "/v1/targets/crm/sample", `{"url":"http://169.254.169.254/"}`)
	f(400, "POST", "/v1/targets/crm/sample", `url=http://169.254.169.254/`)
	f(400, "POST", "/v1/targets/crm/sample?url=http://169.254.169.254/", "")
	f(404, "POST", "/v1/targets/http:%2f%2f169.254.169.254%2f/sample", "")
	f(405, "GET", pause, "", "X-HTTP-Method-Override: POST")
	if status := j.Target("crm").Status; status != "Enabled" {
		t.Errorf("the target is %s", status)
	}
	if n := j.RX.Count("crm"); n != 0 {
		t.Errorf("%d samples were sent", n)
	}
	f(200, "POST", pause, "", "Origin: http://"+j.AdminAddress(), "Sec-Fetch-Site: same-origin")
	f(200, "POST", "/v1/targets/crm/resume", "", "Host: localhost:"+port, "Origin: http://localhost:"+port)
}

// TestP8SecurityHeaders asserts that every answer of the admin listener, of every call and every kind
// of refusal, forbids to sniff, frame, store, refer and load from elsewhere.
func TestP8SecurityHeaders(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("crm")
	j.Config.Set("server.admin_token", "a-token-of-the-admin")
	j.Start()
	check := func(what string, h http.Header) {
		t.Helper()
		policy := h.Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "frame-ancestors 'none'",
			"form-action 'none'", "base-uri 'none'", "script-src 'self'"} {
			if !strings.Contains(policy, part) {
				t.Errorf("%s: the policy lacks %s: %q", what, part, policy)
			}
		}
		if strings.Contains(policy, "unsafe") || h.Get("X-Content-Type-Options") != "nosniff" ||
			h.Get("X-Frame-Options") != "DENY" || h.Get("Referrer-Policy") != "no-referrer" ||
			h.Get("Cache-Control") != "no-store" ||
			h.Get("Cross-Origin-Resource-Policy") != "same-origin" ||
			h.Get("Access-Control-Allow-Origin") != "" || h.Get("Server") != "" {
			t.Errorf("%s: headers %v", what, h)
		}
	}
	token := "Authorization: Bearer a-token-of-the-admin"
	seen := map[int]bool{}
	for _, path := range []string{"/", "/console.js", "/console.css", "/livez", "/readyz", "/healthz",
		"/metrics", "/v1/status", "/v1/targets", "/v1/targets/crm", "/v1/targets/none", "/v1/events/x",
		"/v1/deliveries", "/v1/deliveries?target=crm", "/v1/status?x=1", "/nothing", "/v1/reload",
		"/openapi.json"} {
		for _, header := range []string{token, "X: y", "Host: evil.example"} {
			for _, method := range []string{"GET", "HEAD", "POST", "OPTIONS"} {
				resp := ask(t, j.Relay, method, path, "", header)
				check(method+" "+path, resp.Header)
				seen[resp.StatusCode] = true
			}
		}
	}
	seen[ask(t, j.Relay, "POST", "/v1/reload", "", token, "Origin: http://evil.example").StatusCode] = true
	for _, raw := range []string{"garbage\r\n\r\n", "GET /v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\n" +
		"X: " + strings.Repeat("x", 20<<10) + "\r\n\r\n", "POST /v1/reload HTTP/1.1\r\nHost: 127.0.0.1\r\n" +
		token + "\r\nContent-Length: 99999999\r\n\r\n"} {
		for _, a := range converse(t, j.AdminAddress(), raw) {
			check(raw, a.Header)
			seen[a.Status] = true
		}
	}
	for _, status := range []int{200, 400, 401, 403, 404, 405, 413, 421, 431} {
		if !seen[status] {
			t.Errorf("no answer was %d, so it was not checked", status)
		}
	}
}

// TestP8FileModes asserts that a running relay's files are its user's alone whatever the umask was,
// also in a directory that was there before, and that its sockets are its group's at most.
func TestP8FileModes(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("crm")
	j.Through = []string{"sh", "-c", `umask 000; exec "$@"`, "sh"}
	events := "unix:" + filepath.Join(j.Dir, "events.sock")
	j.Config.Set("server.listen", []string{events, "127.0.0.1:0"})
	j.Config.Set("server.admin_listen", "unix:"+filepath.Join(j.Dir, "admin.sock"))
	j.Config.Set("spool.dir", filepath.Join(j.Dir, "made", "spool"))
	j.Start()
	j.SendIDs("x", 20)
	j.Ledger.AwaitDelivered()
	checkModes(t, filepath.Join(j.Dir, "made"))
	for _, name := range []string{"events.sock", "admin.sock"} {
		info, err := os.Stat(filepath.Join(j.Dir, name))
		if err != nil || info.Mode() != fs.ModeSocket|0o660 {
			t.Errorf("%s: %v, mode %v, want 0660", name, err, info.Mode())
		}
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(context.Background(), "unix", filepath.Join(j.Dir, "events.sock"))
	if err != nil {
		t.Errorf("the socket does not answer: %v", err)
	} else {
		_ = conn.Close()
	}
	j.Restart()
	j.SendIDs("y", 20)
	checkModes(t, filepath.Join(j.Dir, "made"))
}

// checkModes wants 0700 for directories and 0600 for files.
func checkModes(t *testing.T, root string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // a file that was removed meanwhile
		}
		info, err := d.Info()
		if err != nil {
			return nil
		}
		want := fs.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %v, want %v", path, got, want)
		}
		files++
		return nil
	})
	if err != nil || files < 5 {
		t.Errorf("%d files were looked at, %v", files, err)
	}
}
