package testenv

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/token"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/hookspool/hookspool/testenv/effort"
)

// echo answers with all that it was sent, whole and in parts, as debugging services do.
func echo(status int) Reply {
	return func(conn net.Conn, req *Request) (bool, int) {
		u, _ := url.Parse(req.Path)
		user, password := "", ""
		if raw, ok := strings.CutPrefix(req.Header.Get("Authorization"), "Basic "); ok {
			plain, _ := base64.StdEncoding.DecodeString(raw)
			user, password, _ = strings.Cut(string(plain), ":")
		}
		parts, _ := json.Marshal(map[string]any{"args": u.Query(), "user": user, "password": password,
			"key": req.Header.Get("X-Key")})
		body := fmt.Sprintf("%s\n%s\n%s\n", parts, req.Path, req.Header.Get("X-Key"))
		return Raw(status, fmt.Sprintf("HTTP/1.1 %d %s\r\nX-Echo: %s\r\nContent-Length: %d\r\n\r\n%s",
			status, strings.ReplaceAll(password, "\n", ""), user, len(body), body))(conn, req)
	}
}

// TestP8EchoedSecrets asserts that a target which echoes what it was sent, in its status line and
// body, whole, decoded or in JSON, does not carry secrets into samples, logs and answers; nor does a
// bad config, whose faults are told; nor does the relay tell the spool's key or the mail's password.
func TestP8EchoedSecrets(t *testing.T) {
	effort.OnlyLong(t, "it waits for ticks")
	t.Parallel()
	j := NewJourney(t)
	j.Ledger.AllowGaps()
	key := base64.StdEncoding.EncodeToString([]byte("canary-encryption-key-0123456789"))
	j.Config.Set("spool.encryption_key", key).Set("log.format", "json")
	j.Config.Set("alert.email.smtp", "127.0.0.1:9").Set("alert.email.tls", "none").
		Set("alert.email.username", "smtp-canary-user").Set("alert.email.password", "smtp-canary-pass").
		Set("alert.email.to", []string{"oncall@ops.example"}).Set("defect.after_failed_jobs", 0)
	address := "http://user-canary:p%22ss%26canary@" + j.RX.Address()
	for _, name := range []string{"ok", "bad"} {
		j.Config.Target(name, address+"/"+name+"?token=query%2Fcanary%26more&bare-canary-token",
			"headers", map[string]string{"X-Key": `header"canary\value`}, "status", "enabled")
	}
	j.RX.Always("ok", echo(200))
	j.RX.Always("bad", echo(500))
	j.Start()
	j.Send(Post{ID: "one", Body: []byte(`{"eventType":"message"}`)})
	j.AwaitFailed("bad", 1)
	j.Verb("enable", "bad")
	j.AwaitStatus("bad", "Defective")
	outputs := map[string]string{}
	collect(j, outputs)
	for _, name := range []string{"ok", "bad"} {
		s := j.Sample(name, "message")
		if !strings.Contains(s.Body, "<redacted>") || s.StatusLine == "" {
			t.Errorf("%s: the sample shows too little to prove anything: %+v", name, s)
		}
		outputs["sample "+name] = fmt.Sprintf("%+v", s)
		for _, verb := range []string{"sample", "explain", "pause", "resume", "exhausted", "deliveries"} {
			for _, args := range [][]string{{verb, name}, {verb, name, "--json"}} {
				out := j.CLI(args...)
				outputs[strings.Join(args, " ")] = out.Stdout + out.Stderr
			}
		}
	}
	for i, from := range []string{"encryption_key", "password", "url", "headers"} {
		text := strings.Replace(j.Config.String(), from+" = ", from+" = 1 ", 1)
		if i%2 == 0 {
			text = strings.Replace(j.Config.String(), "[target.ok]\n", "[target.ok]\n"+from+"x = 1\n", 1)
		}
		if err := j.WriteConfig(text); err != nil {
			t.Fatal(err)
		}
		code, body := j.Admin("POST", "/v1/reload")
		out := j.CLI("check")
		if code != 422 || out.Code == 0 {
			t.Errorf("bad config %d: %d, code %d", i, code, out.Code)
		}
		outputs["bad config "+from] = string(body) + out.Stdout + out.Stderr
	}
	if err := j.WriteConfig(j.Config.String()); err != nil {
		t.Fatal(err)
	}
	j.Restart()
	outputs["log"] = j.Log()
	for from, text := range outputs {
		for _, secret := range []string{"canary", key, strings.TrimRight(key, "=")} {
			if at := strings.Index(text, secret); at >= 0 {
				t.Errorf("%s shows a secret: …%s…", from, text[max(0, at-60):min(len(text), at+60)])
				break
			}
		}
	}
}

// TestP8TokenComparison asserts, by reading the code, that a secret is never compared but with the
// empty string, and that the two places which check a token compare digests in constant time.
func TestP8TokenComparison(t *testing.T) {
	t.Parallel()
	constant := map[string]bool{}
	for _, s := range readSources(t) {
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BinaryExpr:
				checkComparison(t, s, n)
			case *ast.FuncDecl:
				if calls(n, "ConstantTimeCompare") && calls(n, "Sum256") {
					constant[s.path+" "+n.Name.Name] = true
				}
			}
			return true
		})
	}
	for _, place := range []string{"relay/accept/head.go checkToken", "relay/admin/guard.go accepts"} {
		if !constant[place] {
			t.Errorf("%s does not compare digests in constant time", place)
		}
	}
}

func checkComparison(t *testing.T, s *source, e *ast.BinaryExpr) {
	t.Helper()
	if e.Op != token.EQL && e.Op != token.NEQ {
		return
	}
	sides := []ast.Expr{e.X, e.Y}
	empty := slices.ContainsFunc(sides, func(side ast.Expr) bool {
		lit, ok := side.(*ast.BasicLit)
		return ok && (lit.Value == `""` || lit.Kind == token.INT)
	})
	for _, side := range sides {
		if calls(side, "Reveal") && !empty {
			t.Errorf("%s:%d: a secret is compared", s.path, s.line(e.Pos()))
		}
	}
}

// calls reports whether a function of this name is called below a node.
func calls(n ast.Node, name string) bool {
	found := false
	ast.Inspect(n, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			switch fun := call.Fun.(type) {
			case *ast.SelectorExpr:
				found = found || fun.Sel.Name == name
			case *ast.Ident:
				found = found || fun.Name == name
			}
		}
		return !found
	})
	return found
}
