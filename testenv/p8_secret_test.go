package testenv

import (
	"encoding/base64"
	"net/url"
	"strings"
	"testing"
)

// TestP8SecretsStaySecret puts a canary into every place a secret may be in, makes everything fail
// and work that writes about it, and looks for the canaries in all outputs: the log at debug level,
// the API, metrics, mail, check, explain, the verbs.
func TestP8SecretsStaySecret(t *testing.T) {
	t.Parallel()
	j, box := NewJourney(t), NewMailbox(t)
	j.Ledger.AllowGaps()
	key := base64.StdEncoding.EncodeToString([]byte("canary-signing-secret-0123456789"))
	canaries := []string{"canary", key, url.QueryEscape("canary/?&"),
		base64.StdEncoding.EncodeToString([]byte("user-canary:pass-canary"))}
	box.Configure(j.Config)
	j.Config.Set("server.admin_token", "env:ADMIN").Set("server.event_token", "env:EVENT")
	j.Config.Set("alert.email.username", "env:SMTP_USER").Set("alert.email.password", "env:SMTP_PASS")
	j.Config.Set("alert.email.tls", "none").Set("defect.after_failed_jobs", 0)
	j.Env = []string{"ADMIN=admin-canary-token", "EVENT=event-canary-token",
		"SMTP_USER=smtp-canary-user", "SMTP_PASS=smtp-canary-password"}
	hostile := func(name string) string {
		return "http://user-canary:pass-canary@" + j.RX.Address() + "/" + name +
			"?token=query-canary&more=canary%2F%3F%26"
	}
	headers := map[string]string{"X-Secret": "header-canary", "X-Two": "canary-two"}
	j.Config.Target("bad", hostile("bad"), "secret", "whsec_"+key, "headers", headers)
	j.Config.Target("good", hostile("good"), "secret", "whsec_"+key, "headers", headers)
	j.Config.Target("none", "http://user-canary:pass-canary@127.0.0.1:9/?query-canary", "timeout",
		"1s")
	j.Config.Target("tls", "https://user-canary:pass-canary@"+j.RX.Address()+"/tls?query-canary")
	j.Config.Target("blocked", "http://user-canary:pass-canary@169.254.169.254/?query-canary")
	j.RX.Always("bad", Redirect(302, "http://elsewhere.example/?nothing"))
	j.UseAdminToken("admin-canary-token")
	j.Start()
	bearer := map[string]string{"Authorization": "Bearer event-canary-token"}
	a := j.Send(Post{ID: "one", Header: bearer, Body: []byte(`{"eventType":"message"}`)})
	wrong := j.Relay.Post(Post{Header: map[string]string{"Authorization": "Bearer wrong-canary"}})
	j.RX.AwaitID("bad", "one")
	for _, target := range []string{"bad", "none", "tls", "blocked"} {
		j.AwaitFailed(target, 1)
		j.Verb("enable", target)
		j.AwaitStatus(target, "Defective")
	}
	box.Await(1)
	outputs := map[string]string{"answer": string(a.Body), "refusal": string(wrong.Body)}
	for _, target := range []string{"bad", "good", "none", "tls", "blocked"} {
		_, body := j.Admin("POST", "/v1/targets/"+target+"/sample")
		outputs["sample "+target] = string(body)
	}
	collect(j, outputs)
	for _, mail := range box.Mails() {
		outputs["mail "+mail.Subject] = mail.Text
	}
	j.Restart()
	outputs["log"] = j.Log()
	if len(outputs["log"]) < 200 || !strings.Contains(outputs["log"], "bad") {
		t.Errorf("the log says too little for this test to prove anything: %q", outputs["log"])
	}
	for from, text := range outputs {
		for _, canary := range canaries {
			if at := strings.Index(text, canary); at >= 0 {
				t.Errorf("%s shows a secret: …%s…", from,
					text[max(0, at-100):min(len(text), at+100)])
				break
			}
		}
	}
	if r := j.RX.AwaitID("good", "one"); r.Header.Get("X-Secret") != "header-canary" ||
		!strings.Contains(r.Path, "query-canary") {
		t.Error("the target did not get what is secret to others")
	}
}

// collect adds what the API and the verbs say.
func collect(j *Journey, outputs map[string]string) {
	for _, path := range []string{"/", "/metrics", "/livez", "/readyz", "/healthz", "/openapi.json",
		"/v1/status", "/v1/targets", "/v1/targets/bad", "/v1/targets/tls", "/v1/events/one",
		"/v1/attempts/one", "/v1/deliveries?target=bad&state=pending",
		"/v1/deliveries?target=blocked&state=pending"} {
		_, body := j.Admin("GET", path)
		outputs[path] = string(body)
	}
	j.Env = append(j.Env, "NO_COLOR=1")
	for _, args := range [][]string{{"check"}, {"targets"}, {"targets", "--json"},
		{"sample", "bad"}, {"sample", "none"}, {"sample", "good", "--json"}} {
		out := j.CLI(args...)
		outputs[strings.Join(args, " ")] = out.Stdout + out.Stderr
	}
}

// TestP8AdminToken asserts that the admin API needs its token when there is one, that probes do
// not, and that a browser of another origin and a foreign Host may change nothing.
func TestP8AdminToken(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("crm")
	j.Config.Set("server.admin_token", "a-token-of-the-admin")
	j.Start()
	j.client.adminToken = ""
	for _, path := range []string{"/v1/status", "/v1/targets", "/v1/targets/crm",
		"/v1/deliveries?target=crm&state=pending", "/v1/events/x"} {
		if code, _ := j.Admin("GET", path); code != 401 {
			t.Errorf("GET %s without the token answered %d", path, code)
		}
	}
	for _, path := range []string{"/v1/reload", "/v1/targets/crm/pause", "/v1/targets/crm/sample"} {
		if code, _ := j.Admin("POST", path); code != 401 {
			t.Errorf("POST %s without the token answered %d", path, code)
		}
	}
	for _, path := range []string{"/livez", "/readyz", "/healthz"} {
		if code, _ := j.Admin("GET", path); code != 200 {
			t.Errorf("GET %s without the token answered %d", path, code)
		}
	}
	j.client.adminToken = "a-token-of-the-admin"
	if s := j.Target("crm").Status; s != "Enabled" {
		t.Errorf("the target is %s", s)
	}
}
