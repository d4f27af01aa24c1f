package testenv

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hookspool/hookspool/testenv/effort"
)

// clientRules are those of a client with a secret that no encoding leaves as it is.
func clientRules() AuthRules {
	return AuthRules{ID: "relay 1", Secret: "s+cret/canary 0123456789", Scope: "events.write b",
		Params: map[string]string{"audience": "https://crm.example.com/?a&b"}}
}

// TestTokens asserts that a target with oauth2 gets every request with a token that the server gave
// for its scopes and parameters, whichever way that takes the client's secret; that one token serves
// all attempts, jobs and samples, past a reload, and a start gets one of its own.
func TestTokens(t *testing.T) {
	t.Parallel()
	for _, inBody := range []bool{false, true} {
		rules := clientRules()
		rules.InBody = inBody
		auth := NewAuthServer(t, rules)
		j := NewJourney(t).Aim("crm", "other")
		auth.Configure(j.Config, "crm")
		j.RX.On("crm", auth.Guard(func(*Request) Reply { return OK() }))
		j.Start()
		j.SendIDs("a", 50)
		j.Ledger.AwaitDelivered()
		if s := j.Sample("crm", "message"); s.Outcome != "success" {
			t.Errorf("the sample: %+v", s)
		}
		j.Config.Set("target.other.timeout", "9s")
		j.Reload()
		j.SendIDs("b", 10)
		j.Ledger.AwaitDelivered()
		if n := auth.Issued(); n != 1 {
			t.Errorf("%d tokens for 61 requests of one run; want one (in body: %v)", n, inBody)
		}
		j.Kill()
		j.Start()
		j.SendIDs("c", 10)
		j.Ledger.AwaitDelivered()
		if n := auth.Issued(); n != 2 {
			t.Errorf("%d tokens after a second start; want 2", n)
		}
		if m := j.Metrics(); m.Get("attempts_total", "target", "crm", "outcome", "success") < 10 ||
			!m.Has("attempts_total", "target", "other", "outcome", "auth") {
			t.Error("attempts are not counted by outcome, auth among them")
		}
		for _, r := range j.RX.Requests("other") {
			if r.Header.Get("Authorization") != "" {
				t.Fatal("another target got an Authorization")
			}
		}
	}
}

// TestTokenRenewed asserts that a token is replaced before it ends, so that no attempt meets a 401.
func TestTokenRenewed(t *testing.T) {
	t.Parallel()
	rules := clientRules()
	rules.Life = 2 * time.Second
	auth := NewAuthServer(t, rules)
	j := NewJourney(t).Aim("crm")
	auth.Configure(j.Config, "crm")
	j.RX.On("crm", auth.Guard(func(*Request) Reply { return OK() }))
	j.Start()
	load := j.StartLoad(Seed(t), 2, "x")
	Until(t, Patience, "four tokens", func() bool { return auth.Issued() >= 4 })
	load.Stop()
	j.Ledger.AwaitDelivered()
	if n := j.Metrics().Get("attempts_total", "target", "crm", "outcome", "status"); n != 0 {
		t.Errorf("%d attempts came with an old token", n)
	}
}

// TestTokenRevoked asserts that a 401 is one attempt and one request, that the next attempt goes out
// with a new token, and that a target which refuses every token sees its attempts in order, each
// once, and the server is not asked for a token by each.
func TestTokenRevoked(t *testing.T) {
	t.Parallel()
	auth := NewAuthServer(t, clientRules())
	j := NewJourney(t).Aim("crm")
	j.Config.Set("retry.interval", "100ms").Set("retry.max_attempts", 12)
	auth.Configure(j.Config, "crm")
	j.RX.On("crm", auth.Guard(func(*Request) Reply { return OK() }))
	j.Start()
	j.SendIDs("before", 1)
	j.Ledger.AwaitDelivered()
	auth.Revoke()
	id := j.SendIDs("after", 1)[0]
	j.Ledger.AwaitDelivered()
	if got := j.RX.Attempts("crm", id); !slices.Equal(got, []int{0, 1}) || auth.Issued() != 2 {
		t.Errorf("attempts %v, %d tokens; want 0 and 1, and 2", got, auth.Issued())
	}
	j.RX.Always("crm", Code(401))
	never := j.SendIDs("never", 1)[0]
	Until(t, Patience, "exhaustion", func() bool { return j.Target("crm").Exhausted == 1 })
	if got := j.RX.Attempts("crm", never); !slices.Equal(got, upTo(12)) || auth.Issued() != 2 {
		t.Errorf("attempts %v, %d tokens; want 0 to 12, and none of them within a minute", got,
			auth.Issued())
	}
}

// noTokens is what a token endpoint may do, and what is said of it then, a regular expression.
func noTokens() map[string]struct {
	script http.HandlerFunc
	want   string
} {
	return map[string]struct {
		script http.HandlerFunc
		want   string
	}{
		"html": {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>Log in</html>") },
			`answered 200 OK with "text/html" that is no token`},
		"moved": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/x", http.StatusFound)
		},
			"answered 302 Found; redirects are not followed"},
		"down": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
			"answered 500 Internal Server Error"},
		"hang": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
			"did not answer in time|waited in vain for tokens of"}, // one asks, and all wait for it
	}
}

// TestNoToken asserts that an event for which there is no token is accepted and kept, is no request,
// no attempt and no failed job however many ticks go by, through a kill and a reload, and goes out
// as attempt 0 once there is a token; and that all who can tell say why meanwhile.
func TestNoToken(t *testing.T) {
	effort.OnlyLong(t, "it waits for ticks")
	t.Parallel()
	auths := map[string]*AuthServer{}
	j := NewJourney(t)
	j.Config.Set("retry.interval", "50ms").Set("retry.max_attempts", 1)
	j.Config.Set("defect.after_failed_jobs", 0)
	for name, row := range noTokens() {
		auths[name] = NewAuthServer(t, clientRules())
		auths[name].Script(row.script)
		timeout := "1m"
		if name == "hang" {
			timeout = "2s"
		}
		j.Config.Target(name, j.RX.URL(name), "timeout", timeout)
		auths[name].Configure(j.Config, name)
		j.RX.On(name, auths[name].Guard(func(*Request) Reply { return OK() }))
	}
	j.Start()
	ids := j.SendIDs("x", 3)
	said := func(name, want string) func() bool {
		return func() bool {
			target := j.Target(name)
			return target.LastError != nil && regexp.MustCompile(want).MatchString(*target.LastError)
		}
	}
	for name, row := range noTokens() {
		Until(t, Patience, "the error of "+name, said(name, row.want))
	}
	j.AwaitTicks(10)
	j.Kill()
	j.Start()
	j.Config.Set("log.deliveries", true)
	j.Reload()
	j.AwaitTicks(10)
	for name, row := range noTokens() {
		target := j.Target(name)
		if target.Pending != len(ids) || target.Exhausted != 0 || target.FailedJobs != 0 ||
			target.Status != "Enabled" || j.RX.Count(name) != 0 {
			t.Errorf("%s: %+v, and %d requests", name, target, j.RX.Count(name))
		}
		Until(t, Patience, "an attempt to "+name, func() bool { // one that hangs takes a while
			return j.Metrics().Get("attempts_total", "target", name, "outcome", "auth") > 0
		})
		m := j.Metrics()
		if m.Get("retry_jobs_total", "target", name, "result", "failed") != 0 ||
			m.Get("attempts_withheld_total", "target", name) != 0 {
			t.Errorf("%s: the metrics are wrong", name)
		}
		list := j.Deliveries(name, "pending")
		if len(list) != len(ids) || list[0].Attempts != 0 ||
			!regexp.MustCompile(row.want).MatchString(list[0].LastError) {
			t.Errorf("%s: deliveries %+v", name, list)
		}
		if s := j.Sample(name, "message"); s.Outcome != "auth" || s.Acknowledged ||
			!regexp.MustCompile(row.want).MatchString(s.Error) {
			t.Errorf("%s: the sample says %+v", name, s)
		}
		auths[name].Script(nil)
	}
	if j.LogCount("level=WARN", "there is no token to send to a target") == 0 {
		t.Error("the log does not say that there is no token")
	}
	j.Ledger.AwaitDelivered()
	for name := range noTokens() {
		for _, id := range ids {
			if got := j.RX.Attempts(name, id); !slices.Equal(got, []int{0}) {
				t.Errorf("%s saw attempts %v of %s, want the first alone", name, got, id)
			}
		}
	}
}

// TestTokenSecrets asserts that neither a token nor the client's secret is in any output, however
// much the server repeats, and that the address rules hold for the token URL.
func TestTokenSecrets(t *testing.T) {
	t.Parallel()
	rules := clientRules()
	auth := NewAuthServer(t, rules)
	j := NewJourney(t).Aim("good", "bad", "tls", "metadata")
	for _, name := range []string{"good", "bad", "tls", "metadata"} {
		auth.Configure(j.Config, name)
	}
	j.Config.Set("target.good.oauth2.client_secret", "env:SECRET").Set("log.deliveries", true)
	j.Config.Set("target.bad.oauth2.scopes", []string{"canary-is-no-scope-that-is-known"})
	j.Config.Set("target.tls.oauth2.token_url", "https"+strings.TrimPrefix(auth.URL(), "http")+"?canary=1")
	j.Config.Set("target.metadata.oauth2.token_url", "http://169.254.169.254/token")
	j.Env = []string{"SECRET=" + rules.Secret}
	echo := func(req *Request) Reply {
		return HeadThen("HTTP/1.1 500 Oops "+req.Header.Get("Authorization")+"\r\nContent-Length: "+
			fmt.Sprint(len(req.Header.Get("Authorization")))+"\r\n\r\n",
			strings.NewReader(req.Header.Get("Authorization")))
	}
	j.RX.On("good", auth.Guard(echo))
	j.Start()
	j.Send(Post{ID: "one", Body: []byte(`{"eventType":"message"}`)})
	for name, want := range map[string]string{"good": "answered 500", "bad": "invalid_scope",
		"tls": "was not heard: cannot shake hands", "metadata": "address rules refuse 169.254.169.254"} {
		Until(t, Patience, name+" to fail", func() bool {
			last := j.Target(name).LastError
			return last != nil && strings.Contains(*last, want)
		})
	}
	outputs := map[string]string{}
	for _, name := range []string{"good", "bad", "tls", "metadata"} {
		_, body := j.Admin("POST", "/v1/targets/"+name+"/sample")
		outputs["sample "+name] = string(body)
		_, body = j.Admin("GET", "/v1/targets/"+name)
		outputs["target "+name] = string(body)
	}
	_, body := j.Admin("POST", "/v1/explain?type=message")
	outputs["explain"] = string(body)
	collect(j, outputs)
	out := j.CLI("check", "--json")
	outputs["check --json"] = out.Stdout + out.Stderr
	outputs["log"] = j.Log()
	pair := url.QueryEscape(rules.ID) + ":" + url.QueryEscape(rules.Secret)
	for from, text := range outputs {
		for _, canary := range []string{"token-canary", rules.Secret, url.QueryEscape(rules.Secret),
			base64.StdEncoding.EncodeToString([]byte(pair)), "canary=1"} {
			if at := strings.Index(text, canary); at >= 0 {
				t.Errorf("%s shows a secret: …%s…", from, text[max(0, at-100):min(len(text), at+100)])
			}
		}
	}
	if !strings.Contains(outputs["check"], "with tokens of "+auth.URL()) ||
		!strings.Contains(outputs["target good"], `"token_url":"`+auth.URL()) {
		t.Errorf("nobody says where tokens come from: %s%s", outputs["check"], outputs["target good"])
	}
	if !strings.Contains(outputs["explain"], `Authorization: \u003credacted\u003e`) &&
		!strings.Contains(outputs["explain"], `Authorization: <redacted>`) {
		t.Errorf("explain shows no Authorization: %s", outputs["explain"])
	}
}
