package config

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"
)

// The keys of this file say by what way, and with what token, a target is reached.

const (
	scopesMax      = 64
	scopeBytesMax  = 1 << 10
	paramsMax      = 32
	clientBytesMax = 8 << 10
)

// OAuth2 is [target.NAME.oauth2]: how to get the tokens that a target wants (RFC 6749 §4.4).
type OAuth2 struct {
	TokenURL     *url.URL // nil: there are none
	ClientID     string
	ClientSecret Secret
	Scopes       []string
	Params       []Header // further parameters of the request, sorted by name
}

func oauth2Rows(o *OAuth2) []row {
	scopes := bound{high: scopesMax, hint: `write ["events.write"]`}
	return []row{
		{name: "token_url", set: optionalURL(&o.TokenURL)},
		{name: "client_id", set: resolved(&o.ClientID, checkClient)},
		{name: "client_secret", set: resolved(&o.ClientSecret, checkClient)},
		{name: "scopes", set: texts(&o.Scopes, scopes, checkScope)},
		{name: "params", set: pairs(&o.Params, pairing{most: paramsMax, what: "parameters",
			hint: `write params = { audience = "https://crm.example.com" }`, name: checkParam,
			value: checkClient})},
	}
}

// checkClient does not quote what it is given: it may be a secret.
func checkClient(s string) problem {
	switch {
	case len(s) > clientBytesMax:
		return problem{fmt.Sprintf("is longer than %d bytes", clientBytesMax), ""}
	case hasControl(s) || !utf8.ValidString(s):
		return problem{"holds a control character or is not UTF-8", ""}
	}
	return problem{}
}

// checkScope wants a scope-token of RFC 6749 §3.3.
func checkScope(s string) problem {
	odd := func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }
	if s == "" || len(s) > scopeBytesMax || strings.ContainsFunc(s, odd) {
		return problem{fmt.Sprintf("a scope is 1 to %d characters without spaces, quotes and \\",
			scopeBytesMax), "each scope is an item of the list"}
	}
	return problem{}
}

// checkParam wants a name that is not said by another key.
func checkParam(name string, _ []Header) problem {
	switch {
	case name == "" || len(name) > headerNameBytesMax || hasControl(name):
		return problem{fmt.Sprintf("the name of a parameter is 1 to %d bytes without control "+
			"characters", headerNameBytesMax), ""}
	case name == "grant_type":
		return problem{"is client_credentials and cannot be set", "remove it"}
	case name == "scope":
		return problem{"is made of scopes", `write scopes = ["…"]`}
	case name == "client_id", name == "client_secret":
		return problem{"is a key of its own", fmt.Sprintf("write it above: %s = \"…\"", name)}
	}
	return problem{}
}

// warnings of a token's way.
func (o *OAuth2) warnings(target string) []string {
	if o.TokenURL == nil || o.TokenURL.Scheme == "https" || isLocal(hostPort(o.TokenURL)) {
		return nil
	}
	return []string{fmt.Sprintf("target.%s.oauth2.token_url is http://: client_secret and tokens go "+
		"over the wire in clear; write https://", target)}
}

// hostPort is the host of a URL as an address to listen on would be written.
func hostPort(u *url.URL) string {
	if u.Port() != "" {
		return u.Host
	}
	return u.Host + ":80"
}

// proxyEnv is the word for what the environment says.
const proxyEnv = "env"

// Proxy is the key of that name: by whom a target is reached. The zero Proxy: by nobody.
type Proxy struct {
	Env bool     // whom HTTPS_PROXY, HTTP_PROXY and NO_PROXY name for the target's URL
	URL *url.URL // http with host and port, nothing after that; nil: there is none
}

// proxy takes a URL, "env", or nothing.
func proxy(to *Proxy) setter {
	return func(d *decoder, at keyPath, raw any) {
		var parsed Proxy
		var written string
		resolved(&written, func(s string) (p problem) {
			if s == proxyEnv {
				parsed.Env = true
				return problem{}
			}
			parsed.URL, p = parseProxy(s)
			return p
		})(d, at, raw)
		*to = parsed
	}
}

// CheckProxyVariable says what is wrong with a value of HTTPS_PROXY and the like, which may have no
// scheme; nil: nothing. It does not quote the value.
func CheckProxyVariable(s string) error {
	if s == "" {
		return nil
	}
	if !strings.Contains(s, "://") {
		s = "http://" + s
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Hostname() == "":
		return errors.New("is not a URL of a proxy")
	case u.Scheme != "http":
		return errors.New("is not an http:// URL: no other proxy can be used")
	}
	return nil
}

// parseProxy does not quote what it is given: user-info is secret.
func parseProxy(s string) (*url.URL, problem) {
	const hint = `write "http://host:port", "http://user:password@host:port", or "env"`
	if scheme, _, ok := strings.Cut(s, "://"); ok && strings.Trim(strings.ToLower(scheme),
		"abcdefghijklmnopqrstuvwxyz0123456789") == "" && scheme != "http" {
		return nil, problem{"is not an http:// URL: no other proxy can be used", hint}
	}
	u, p := parseURL(s)
	switch {
	case p != (problem{}):
		if p.hint != "" {
			p.hint = hint
		}
		return nil, p
	case u.Port() == "":
		return nil, problem{"has no port", hint}
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.ForceQuery:
		return nil, problem{"has something after the host and port, which would mean nothing", hint}
	}
	u.Path = ""
	return u, problem{}
}
