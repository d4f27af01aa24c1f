package testenv

import (
	"crypto/rand"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// AuthServer is an authorization server that knows the client credentials grant (RFC 6749 §4.4) and
// is as strict about it as a server may be. Its tokens are opaque and begin with token-canary.
type AuthServer struct {
	t      testing.TB
	server *httptest.Server

	mu     sync.Mutex // guards below
	rules  AuthRules
	script http.HandlerFunc
	tokens map[string]time.Time // until when they are good
	issued int
	asked  int
}

// AuthRules say what an AuthServer wants and gives.
type AuthRules struct {
	ID, Secret string
	// InBody: the client names itself in the body, and Basic auth is refused; else the reverse.
	InBody bool
	Scope  string
	Params map[string]string
	// Life of a token; 0: it is not told, and lasts.
	Life time.Duration
}

// NewAuthServer starts one on port 0; it ends with the test.
func NewAuthServer(t testing.TB, rules AuthRules) *AuthServer {
	t.Helper()
	a := &AuthServer{t: t, rules: rules, tokens: map[string]time.Time{}}
	a.server = httptest.NewServer(a)
	t.Cleanup(func() {
		a.server.CloseClientConnections()
		a.server.Close()
	})
	return a
}

// URL is the token endpoint.
func (a *AuthServer) URL() string { return a.server.URL + "/token" }

// Configure points a target at the server, with what it wants.
func (a *AuthServer) Configure(c *Config, target string) {
	at := "target." + target + ".oauth2."
	c.Set(at+"token_url", a.URL()).Set(at+"client_id", a.rules.ID).
		Set(at+"client_secret", a.rules.Secret)
	if a.rules.Scope != "" {
		c.Set(at+"scopes", strings.Fields(a.rules.Scope))
	}
	if a.rules.Params != nil {
		c.Set(at+"params", a.rules.Params)
	}
}

// Script answers instead of the server, until it is nil again.
func (a *AuthServer) Script(script http.HandlerFunc) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.script = script
}

// Revoke makes every token of before worthless.
func (a *AuthServer) Revoke() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.tokens)
}

// Issued is how many tokens it gave.
func (a *AuthServer) Issued() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.issued
}

// Asked is how many requests it got.
func (a *AuthServer) Asked() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked
}

// Guard answers 401 to a request without a good token, and like next to others.
func (a *AuthServer) Guard(next Script) Script {
	return func(req *Request) Reply {
		token, bearer := strings.CutPrefix(req.Header.Get("Authorization"), "Bearer ")
		a.mu.Lock()
		end, known := a.tokens[token]
		a.mu.Unlock()
		if !bearer || !known || !end.IsZero() && attemptedAt(req).After(end) {
			return Raw(401, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n"+
				"WWW-Authenticate: Bearer error=\"invalid_token\"\r\n\r\n")
		}
		return next(req)
	}
}

// attemptedAt is when the relay says that it made a request, in whole seconds. A machine that
// stands still between that and its arrival has not used an old token.
func attemptedAt(req *Request) time.Time {
	seconds, err := strconv.ParseInt(req.Header.Get("webhook-timestamp"), 10, 64)
	if err != nil {
		return time.Now()
	}
	return time.Unix(seconds, 0)
}

// ServeHTTP is part of http.Handler.
func (a *AuthServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil { // the whole body, or a client that leaves would not show
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a.mu.Lock()
	a.asked++
	script, rules := a.script, a.rules
	a.mu.Unlock()
	if script != nil {
		script(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	w.Header().Set("Cache-Control", "no-store")
	if status, code := rules.judge(r); code != "" {
		w.WriteHeader(status)
		a.write(w, map[string]any{"error": code, "error_description": "not with " +
			r.PostForm.Encode() + r.Header.Get("Authorization")}) // a server that talks too much
		return
	}
	answer := map[string]any{"access_token": a.issue(rules.Life), "token_type": "bearer"}
	if rules.Life > 0 {
		answer["expires_in"] = int(rules.Life.Seconds())
	}
	a.write(w, answer)
}

func (a *AuthServer) write(w http.ResponseWriter, answer map[string]any) {
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		a.t.Logf("the token endpoint's client left: %v", err)
	}
}

func (a *AuthServer) issue(life time.Duration) string {
	token := "token-canary-" + rand.Text()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.issued++
	a.tokens[token] = time.Time{}
	if life > 0 {
		a.tokens[token] = time.Now().Add(life)
	}
	return token
}

// judge returns the error code of a request that is refused.
func (rules *AuthRules) judge(r *http.Request) (status int, code string) {
	form := r.PostForm
	id, secret, basic := r.BasicAuth()
	id, _ = url.QueryUnescape(id)
	secret, _ = url.QueryUnescape(secret)
	if rules.InBody {
		id, secret = form.Get("client_id"), form.Get("client_secret")
	}
	wrong := slices.ContainsFunc(slices.Collect(maps.Keys(rules.Params)), func(name string) bool {
		return form.Get(name) != rules.Params[name]
	})
	switch {
	case r.Method != "POST" || r.URL.Path != "/token" || r.URL.RawQuery != "" ||
		r.Header.Get("Content-Type") != "application/x-www-form-urlencoded":
		return 400, "invalid_request"
	case basic == rules.InBody, form.Has("client_secret") != rules.InBody:
		return 401, "invalid_client"
	case id != rules.ID || secret != rules.Secret:
		return 401, "invalid_client"
	case form.Get("grant_type") != "client_credentials":
		return 400, "unsupported_grant_type"
	case form.Get("scope") != rules.Scope:
		return 400, "invalid_scope"
	case wrong:
		return 400, "invalid_target"
	}
	return 0, ""
}
