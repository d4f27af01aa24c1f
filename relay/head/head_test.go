package head

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	f := func(text, first, fields string, cut bool) {
		t.Helper()
		h := Parse([]byte(text))
		var got []string
		for _, x := range h.Fields {
			got = append(got, x.Name+"="+x.Value)
		}
		if h.First != first || strings.Join(got, "|") != fields || h.Cut != cut {
			t.Errorf("%q: %q, %q, cut %t", text, h.First, got, h.Cut)
		}
	}
	f("", "", "", false)
	f("POST https://x/\nA: b\nc:d:e", "POST https://x/", "A=b|c=d:e", false)
	f("HTTP/1.1 200 OK\nA: b\n more\nno field", "HTTP/1.1 200 OK", "A=b more", false)
	f("HTTP/1.1 200 OK\nA: bcd…", "HTTP/1.1 200 OK", "A=bcd", true)
	f("HTTP/1.1 200 OK\nA: …b", "HTTP/1.1 200 OK", "A=…b", false)
	f("HTTP/1.1 200 O…", "HTTP/1.1 200 O", "", true)
	f("HTTP/1.1 200 \xff\nA: \x1b[31m", "HTTP/1.1 200 \uFFFD", "A=\uFFFD[31m", false)
}

// The commands say what they need, and a shell reads them as they are meant, whatever is in a head.
func TestCurl(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("there is no shell")
	}
	dir := t.TempDir()
	for _, name := range []string{"curl", "hookspool"} {
		script := "#!" + sh + "\nprintf '%s\\n' " + name + " \"$@\" >>" + dir + "/ran\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	f := func(a Again, comment string, want ...string) {
		t.Helper()
		text := Curl(&a)
		if first, _, _ := strings.Cut(text, "\n"); first != comment && comment != "" {
			t.Errorf("it begins with %q; want %q", first, comment)
		}
		cmd := exec.Command(sh, "-euc", text)
		cmd.Dir = dir
		cmd.Env = []string{"PATH=" + dir, "SECRET=s", "QUERY=q=1&r", "AUTHORIZATION=Bearer b"}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s\n%s", err, out, text)
		}
		ran, err := os.ReadFile(dir + "/ran")
		if err != nil || os.Remove(dir+"/ran") != nil {
			t.Fatal(err)
		}
		for _, word := range want {
			if !strings.Contains("\n"+string(ran), "\n"+word+"\n") {
				t.Errorf("%s\nran %s\nwithout %q", text, ran, word)
			}
		}
	}
	signed := "POST https://crm.example.com/hook?<redacted>\nHost: crm.example.com\n" +
		"Authorization: <redacted>\nContent-Type: application/json\nContent-Length: 3\n" +
		"webhook-id: a'b\nwebhook-timestamp: 1\nwebhook-signature: v1,x\nwebhook-attempt: 3"
	f(Again{ID: "a'b", Head: Parse([]byte(signed))},
		"# what is secret is not shown; set SECRET, AUTHORIZATION, QUERY",
		"events", "a'b", "--payload", "sign", "env:SECRET", "--id", "curl", "-X", "POST", "@headers",
		"Authorization: Bearer b", "Content-Type: application/json", "webhook-attempt: 3", "@payload",
		"https://crm.example.com/hook?q=1&r")
	hostile := "PUT http://127.0.0.1:1/$(id)`id`\nHost: other\nX: '; rm -rf \"$HOME\" $(id) `id` \\\n"
	f(Again{ID: "$(id)", Head: Parse([]byte(hostile)), Transformed: true},
		"# the target has a transform: it was sent another body than the payload",
		"PUT", "Host: other", "X: '; rm -rf \"$HOME\" $(id) `id` \\", "http://127.0.0.1:1/$(id)`id`",
		"webhook-id: $(id)")
	f(Again{ID: "-x", Head: Parse([]byte("POST http://h/\nHost: h")), Batched: true},
		"# the target takes batches: it was sent the payload among others", "-x", "http://h/")
}

func TestVariableOf(t *testing.T) {
	f := func(header, want string) {
		t.Helper()
		if got := variableOf(header); got != want {
			t.Errorf("%q is %q; want %q", header, got, want)
		}
	}
	f("X-Api-Key", "X_API_KEY")
	f("Path", "HEADER_PATH")
	f("1x", "HEADER_1X")
	f("Secret", "HEADER_SECRET")
}
