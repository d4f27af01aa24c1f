package admin

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// guard is what a route asks of its caller.
type guard uint8

const (
	open    guard = iota // health and metrics: probes and scrapers have no token
	api                  // the token when one is set
	pages                // the same, and a browser is told to ask for it
	nowhere              // there is no call: unknown paths and methods are no secret
)

// policy lets a page load what this listener serves and nothing else, and be framed by nobody.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; " +
	"img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// setSecurityHeaders goes out with every answer, refusals included.
func setSecurityHeaders(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
}

// checkHost refuses requests that a browser sends for a foreign page whose name was rebound to this
// address (DNS rebinding). Such a request always names the foreign host, so addresses pass: a page
// that was loaded from an address is of that address. It does not carry the token, so whoever has
// that may call this listener what they like. Probes and scrapers have no token, but names that the
// relay cannot know. Where a token is set they are for everybody who reaches the listener, a page
// as well: it learns the names of targets and how they fare, and no URL, event or secret. On a unix
// socket there is no browser.
func (s *Server) checkHost(req *http.Request, g guard) error {
	at, ok := req.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if ok && at.Network() == "unix" {
		return nil
	}
	host := hostOf(req.Host)
	if strings.EqualFold(host, "localhost") {
		return nil
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	for _, allowed := range s.options.Hosts() {
		if host != "" && strings.EqualFold(host, hostOf(allowed)) {
			return nil
		}
	}
	if s.options.Token() != "" && (g == open || s.knows(req)) {
		return nil
	}
	refusal := Refuse(http.StatusMisdirectedRequest, codeMisdirected,
		"this listener does not serve the host that the request names")
	refusal.Hint = "use its address, such as http://127.0.0.1:8471, add the name to " +
		"server.admin_hosts, or send the admin token"
	return refusal
}

// hostOf drops port, brackets and the dot at the end.
func hostOf(hostport string) string {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.TrimSuffix(host, ".")
}

// checkToken wants the admin token as a Bearer token, or as the password of Basic authentication
// with any user, which is the one way in which a browser asks for it by itself. Digests are
// compared, so that neither content nor length shows in the time it takes.
func (s *Server) checkToken(c *call, g guard) error {
	if s.knows(c.r) {
		return nil
	}
	refusal := Refuse(http.StatusUnauthorized, codeUnauthorized, "the admin token is needed")
	refusal.Hint = "send Authorization: Bearer TOKEN; in a browser, any user and the token as password"
	challenge := `Bearer realm="hookspool admin"`
	if g == pages {
		challenge = `Basic realm="hookspool admin", charset="UTF-8"`
	}
	c.header().Set("WWW-Authenticate", challenge)
	return refusal
}

// knows reports whether a request carries the token, or none is needed.
func (s *Server) knows(req *http.Request) bool {
	return s.accepts(presented(req.Header.Get("Authorization")))
}

// accepts reports whether a token is the one of now, or none is needed.
func (s *Server) accepts(got string) bool {
	token := s.options.Token()
	if token == "" {
		return true
	}
	a, b := sha256.Sum256([]byte(got)), sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// presented takes the token out of an Authorization header.
func presented(authorization string) string {
	scheme, value, _ := strings.Cut(authorization, " ")
	value = strings.TrimSpace(value)
	switch {
	case strings.EqualFold(scheme, "Bearer"):
		return value
	case strings.EqualFold(scheme, "Basic"):
		pair, err := base64.StdEncoding.DecodeString(value)
		if err != nil {
			return ""
		}
		_, password, _ := strings.Cut(string(pair), ":")
		return password
	}
	return ""
}

// checkOrigin refuses what a browser asks for another page: what would change something (CSRF), and
// what takes a place here or makes work, although the other page could not read the answer. A
// caller that is no browser sends none of these headers. A person who follows a link may read, but
// a stream would be held on to. Probes and the files of the console cost nothing.
//
// http.CrossOriginProtection asks less: it lets every GET pass, and an Origin of another host as
// long as Sec-Fetch-Site says same-origin.
func (r *route) checkOrigin(req *http.Request) error {
	link := req.Header.Get("Sec-Fetch-Mode") == "navigate" &&
		req.Header.Get("Sec-Fetch-Dest") == "document"
	reads := r.method == http.MethodGet && r.path != streamPath
	if reads && (link || r.guard != api && r.path != metricsPath) || !foreign(req) {
		return nil
	}
	return Refuse(http.StatusForbidden, codeForbidden,
		"a page of another origin may neither change nor hold anything here")
}

// foreign reports whether a browser says that a request is for a page of another origin.
func foreign(req *http.Request) bool {
	site := req.Header.Get("Sec-Fetch-Site")
	if site != "" && site != "same-origin" && site != "none" {
		return true
	}
	origin := req.Header.Get("Origin")
	if origin == "" {
		return false
	}
	// A proxy in front may have taken TLS off, so that the scheme is not known here.
	u, err := url.Parse(origin)
	return err != nil || u.Host == "" || !strings.EqualFold(u.Host, req.Host)
}

// checkEmptyBody refuses parameters in a body rather than to ignore them: whoever sends
// {"url":…} to the sample call shall learn that targets come from the config alone.
func checkEmptyBody(c *call) error {
	body, err := c.body(bodyBytesMax)
	if err != nil {
		return err
	}
	if isNoBody(body) {
		return nil
	}
	return Refuse(http.StatusBadRequest, codeMalformed,
		"this call takes no body; what it takes stands in the URL")
}

// isNoBody reports a body that says nothing, as some clients send with every POST.
func isNoBody(body []byte) bool {
	body = bytes.TrimSpace(body)
	return len(body) == 0 || string(body) == "{}"
}

// checkQuery refuses parameters that the call does not have, so that no typing error is ignored.
func checkQuery(c *call, known []string) error {
	for _, key := range slices.Sorted(maps.Keys(c.query())) {
		if slices.Contains(known, key) {
			continue
		}
		refusal := Refuse(http.StatusBadRequest, codeMalformed, "%q is not a parameter of this call",
			shorten(key))
		if len(known) > 0 {
			refusal.Hint = "it has " + strings.Join(known, ", ")
		}
		return refusal
	}
	return nil
}
