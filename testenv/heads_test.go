package testenv

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// tried is an attempt of the API.
type tried struct {
	Attempt int
	Outcome string
	Snippet string
	Curl    string
	Request *struct {
		Method, URL string
		Headers     []struct{ Name, Value string }
	}
	Response *struct {
		StatusLine string `json:"status_line"`
		Headers    []struct{ Name, Value string }
	}
}

func (j *Journey) tried(id string) []tried {
	j.t.Helper()
	code, body := j.Admin("GET", "/v1/attempts/"+id)
	var a struct{ Attempts []tried }
	if err := json.Unmarshal(body, &a); err != nil || code != 200 {
		j.t.Fatalf("%d %v %s", code, err, body)
	}
	return a.Attempts
}

func get(headers []struct{ Name, Value string }, name string) string {
	for _, h := range headers {
		if strings.EqualFold(h.Name, name) {
			return h.Value
		}
	}
	return ""
}

// TestAttemptHeads asserts that the first and the last failure of a delivery keep what was sent and
// answered, to the letter but for secrets, and 1 KiB of the answer, across a kill; that the verb
// shows it; and that no secret gets into the spool that way.
func TestAttemptHeads(t *testing.T) {
	t.Parallel()
	j := NewJourney(t)
	key := base64.StdEncoding.EncodeToString([]byte("canary-signing-secret-0123456789"))
	j.Config.Target("crm", strings.Replace(j.RX.URL("crm"), "://", "://user-canary:pass-canary@", 1)+
		"?token=query-canary", "secret", "whsec_"+key, "headers",
		map[string]string{"X-Secret": "header-canary"})
	j.Config.Set("retry.interval", "50ms").Set("retry.max_attempts", 7)
	long := strings.Repeat("0123456789", 300)
	j.RX.Always("crm", Raw(503, fmt.Sprintf("HTTP/1.1 503 Down\r\nServer: nginx\r\nX-Echo: query-canary\r\n"+
		"Set-Cookie: sid=cookie-canary\r\nContent-Length: %d\r\n\r\n%s", len(long), long)))
	j.Start()
	j.Send(Post{ID: "order-17", ContentType: "application/json", Body: []byte(`{"eventType":"message"}`),
		Header: map[string]string{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}})
	j.RX.Await("crm", 8)
	if !Eventually(Patience, func() bool { return j.Target("crm").Exhausted == 1 }) {
		t.Fatal("it is not exhausted")
	}
	j.Kill()
	j.Start()
	list := j.tried("order-17")
	for i, a := range list {
		kept := i == 0 || i == len(list)-1
		if (a.Request != nil) != kept || (a.Response != nil) != kept || a.Curl == "" {
			t.Errorf("attempt %d of %d: %+v", i, len(list), a)
			continue
		}
		if want := long[:1024] + "…"; kept && a.Snippet != want {
			t.Errorf("attempt %d has %d bytes of the answer: …%q", i, len(a.Snippet),
				a.Snippet[max(0, len(a.Snippet)-20):])
		}
		if !kept {
			continue
		}
		sent := j.requestOf("crm", a.Attempt)
		if a.Request.Method != "POST" || !strings.HasSuffix(a.Request.URL, "/crm?<redacted>") ||
			get(a.Request.Headers, "Authorization") != "<redacted>" ||
			get(a.Request.Headers, "X-Secret") != "<redacted>" {
			t.Errorf("attempt %d: %+v", i, a.Request)
		}
		for _, name := range []string{"webhook-signature", "webhook-timestamp", "webhook-attempt",
			"traceparent", "Content-Type", "User-Agent"} {
			if got := get(a.Request.Headers, name); got == "" || got != sent.Header.Get(name) {
				t.Errorf("attempt %d: %s is %q, and was %q", i, name, got, sent.Header.Get(name))
			}
		}
		if a.Response.StatusLine != "HTTP/1.1 503 Down" || get(a.Response.Headers, "Server") != "nginx" ||
			get(a.Response.Headers, "Set-Cookie") != "<redacted>" ||
			get(a.Response.Headers, "X-Echo") != "<redacted>" {
			t.Errorf("attempt %d: %+v", i, a.Response)
		}
	}
	outputs := map[string]string{}
	collect(j, outputs)
	for _, args := range [][]string{{"--headers"}, {"--curl"}, {"--json"}, {}} {
		out := j.CLI(append([]string{"attempts", "order-17"}, args...)...)
		outputs[fmt.Sprint(args)] = out.Stdout + out.Stderr
		if out.Code != 0 {
			t.Errorf("%q: %+v", args, out)
		}
	}
	for _, words := range []string{"webhook-signature: v1,", "HTTP/1.1 503 Down", "Server: nginx",
		"Authorization: <redacted>", "not kept", "0123…"} {
		if text := outputs["[--headers]"]; !strings.Contains(text, words) {
			t.Errorf("--headers does not show %q:\n%s", words, text)
		}
	}
	_, outputs["recent"] = adminText(j, "/v1/targets/crm/attempts")
	j.Terminate()
	huntCanaries(t, outputs, j.SpoolPath(), "canary", key)
}

func adminText(j *Journey, path string) (int, string) {
	code, body := j.Admin("GET", path)
	return code, string(body)
}

// requestOf is the newest request of an attempt.
func (j *Journey) requestOf(target string, attempt int) Request {
	j.t.Helper()
	all := j.RX.Requests(target)
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].Header.Get("webhook-attempt") == fmt.Sprint(attempt) {
			return all[i]
		}
	}
	j.t.Fatalf("no attempt %d came", attempt)
	return Request{}
}

// huntCanaries looks for canaries in outputs and in the files of a spool.
func huntCanaries(t *testing.T, outputs map[string]string, dir string, canaries ...string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		outputs[path] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for from, text := range outputs {
		for _, canary := range canaries {
			if at := strings.Index(text, canary); at >= 0 {
				t.Errorf("%s shows a secret: …%q…", from, text[max(0, at-60):min(len(text), at+60)])
			}
		}
	}
}

// TestAttemptCurl asserts that the commands which the verb prints make the request again: a shell
// runs them, and the receiver gets the same payload, signed, with the same headers.
func TestAttemptCurl(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"sh", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			SkipLoudly(t, "the commands are run: %v", err)
		}
	}
	j := NewJourney(t)
	secret := "whsec_" + base64.StdEncoding.EncodeToString([]byte("a secret of twenty-four "))
	j.Config.Target("crm", j.RX.URL("crm")+"?token=query", "secret", secret, "headers",
		map[string]string{"X-Api-Key": "the key"})
	j.RX.Always("crm", Code(500))
	j.Start()
	payload := "{\"eventType\":\"message\",\"text\":\"it's\"}\n"
	j.Send(Post{ID: "order'17", ContentType: "application/json", Body: []byte(payload)})
	j.RX.Await("crm", 1)
	j.AwaitFailed("crm", 1)
	j.Verb("pause", "crm")
	n := len(j.RX.Requests("crm"))
	out := j.CLI("attempts", "order'17", "--target", "crm", "--curl")
	if out.Code != 0 || strings.Contains(out.Stdout, "the key") || strings.Contains(out.Stdout, "query") {
		t.Fatalf("%+v", out)
	}
	bin, err := Binary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-eu", "-c", `hookspool() { "$BIN" "$@"; }`+"\n"+out.Stdout)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "BIN="+bin, "HOOKSPOOL_CONFIG="+j.ConfigPath(), "SECRET="+secret,
		"X_API_KEY=the key", "QUERY=token=query", "NO_PROXY=*")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s\n%s", err, text, out.Stdout)
	}
	r := j.RX.Await("crm", n+1)[n]
	if string(r.Body) != payload || r.ID != "order'17" || r.Header.Get("X-Api-Key") != "the key" ||
		!strings.HasSuffix(r.Path, "?token=query") || r.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%q came: %+v", r.Body, r)
	}
	verify := j.CLI("verify", "--secret", secret, "--id", r.ID, "--timestamp",
		r.Header.Get("webhook-timestamp"), "--signature", r.Header.Get("webhook-signature"),
		writeTemp(t, payload))
	if verify.Code != 0 {
		t.Errorf("the signature does not hold: %+v", verify)
	}
}
