package admin

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net"
	"net/netip"
	"net/url"
	"strings"

	"github.com/valyala/fasthttp"
)

// guard is what a route asks of its caller.
type guard uint8

const (
	open  guard = iota // health and metrics: probes and scrapers have no token
	api                // the token when one is set
	pages              // the same, and a browser is told to ask for it
)

// policy lets a page load what this listener serves and nothing else, and be framed by nobody.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; " +
	"img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// setSecurityHeaders goes out with every answer, refusals included.
func setSecurityHeaders(h *fasthttp.ResponseHeader) {
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
// socket there is no browser. r is nil when there is nothing at the path.
func (s *Server) checkHost(ctx *fasthttp.RequestCtx, r *route) error {
	if ctx.LocalAddr().Network() == "unix" {
		return nil
	}
	host := hostOf(string(ctx.Host()))
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
	if s.options.Token() != "" && (r != nil && r.guard == open || s.knows(&ctx.Request.Header)) {
		return nil
	}
	refusal := Refuse(fasthttp.StatusMisdirectedRequest, codeMisdirected,
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
func (s *Server) checkToken(ctx *fasthttp.RequestCtx, g guard) error {
	if s.knows(&ctx.Request.Header) {
		return nil
	}
	refusal := Refuse(fasthttp.StatusUnauthorized, codeUnauthorized, "the admin token is needed")
	refusal.Hint = "send Authorization: Bearer TOKEN; in a browser, any user and the token as password"
	challenge := `Bearer realm="hookspool admin"`
	if g == pages {
		challenge = `Basic realm="hookspool admin", charset="UTF-8"`
	}
	ctx.Response.Header.Set(fasthttp.HeaderWWWAuthenticate, challenge)
	return refusal
}

// knows reports whether a request carries the token, or none is needed.
func (s *Server) knows(h *fasthttp.RequestHeader) bool {
	return s.accepts(presented(h.Peek(fasthttp.HeaderAuthorization)))
}

// accepts reports whether a token is the one of now, or none is needed.
func (s *Server) accepts(got []byte) bool {
	token := s.options.Token()
	if token == "" {
		return true
	}
	a, b := sha256.Sum256(got), sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// presented takes the token out of an Authorization header.
func presented(authorization []byte) []byte {
	scheme, value, _ := bytes.Cut(authorization, []byte{' '})
	value = bytes.TrimSpace(value)
	switch {
	case bytes.EqualFold(scheme, []byte("Bearer")):
		return value
	case bytes.EqualFold(scheme, []byte("Basic")):
		pair, err := base64.StdEncoding.AppendDecode(nil, value)
		if err != nil {
			return nil
		}
		_, password, _ := bytes.Cut(pair, []byte{':'})
		return password
	}
	return nil
}

// checkOrigin refuses what a browser asks for another page: what would change something (CSRF), and
// what takes a place here or makes work, although the other page could not read the answer. A
// caller that is no browser sends none of these headers. A person who follows a link may read, but
// a stream would be held on to. Probes and the files of the console cost nothing.
func (r *route) checkOrigin(ctx *fasthttp.RequestCtx) error {
	h := &ctx.Request.Header
	link := string(h.Peek("Sec-Fetch-Mode")) == "navigate" &&
		string(h.Peek("Sec-Fetch-Dest")) == "document"
	reads := r.method == fasthttp.MethodGet && r.path != streamPath
	if reads && (link || r.guard != api && r.path != metricsPath) || !foreign(ctx) {
		return nil
	}
	return Refuse(fasthttp.StatusForbidden, codeForbidden,
		"a page of another origin may neither change nor hold anything here")
}

// foreign reports whether a browser says that a request is for a page of another origin.
func foreign(ctx *fasthttp.RequestCtx) bool {
	h := &ctx.Request.Header
	site := string(h.Peek("Sec-Fetch-Site"))
	if site != "" && site != "same-origin" && site != "none" {
		return true
	}
	origin := string(h.Peek(fasthttp.HeaderOrigin))
	if origin == "" {
		return false
	}
	// A proxy in front may have taken TLS off, so that the scheme is not known here.
	u, err := url.Parse(origin)
	return err != nil || u.Host == "" || !strings.EqualFold(u.Host, string(ctx.Host()))
}

// checkEmptyBody refuses parameters in a body rather than to ignore them: whoever sends
// {"url":…} to the sample call shall learn that targets come from the config alone.
func checkEmptyBody(ctx *fasthttp.RequestCtx) error {
	body, err := readBody(ctx, bodyBytesMax)
	if err != nil {
		return err
	}
	body = bytes.TrimSpace(body)
	if len(body) == 0 || string(body) == "{}" {
		return nil
	}
	return Refuse(fasthttp.StatusBadRequest, codeMalformed,
		"this call takes no body; what it takes stands in the URL")
}

// checkQuery refuses parameters that the call does not have, so that no typing error is ignored.
func checkQuery(ctx *fasthttp.RequestCtx, known []string) error {
	for key := range ctx.QueryArgs().All() {
		found := false
		for _, k := range known {
			found = found || k == string(key)
		}
		if found {
			continue
		}
		refusal := Refuse(fasthttp.StatusBadRequest, codeMalformed, "%q is not a parameter of this call",
			shorten(string(key)))
		if len(known) > 0 {
			refusal.Hint = "it has " + strings.Join(known, ", ")
		}
		return refusal
	}
	return nil
}
