package attempt

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/hookspool/hookspool/relay/signature"
)

// redacted stands for what is secret.
const redacted = "<redacted>"

// writer makes the requests of one target. The part of a head that never changes is made
// once. Read-only, safe for concurrent use.
type writer struct {
	static  static // request line, Host, User-Agent, configured headers
	preview static // the same for people: secrets redacted
	shown   string // method and masked URL
	// authorization is the name of that field, as configured.
	authorization string
	names         []string
	contentType   bool // configured, so that the event's is not sent
	keys          []signature.Key
}

// static is the part of a head that is the same for every request, but for Authorization, which
// stands between before and after.
type static struct{ before, after []byte }

// newWriter checks and makes the static part. Errors never quote a value.
func newWriter(o Options, host string) (*writer, error) {
	w := &writer{keys: o.Keys}
	for _, k := range o.Keys {
		if !k.CanSign() {
			return nil, fmt.Errorf("cannot sign with a %s key", k)
		}
	}
	for _, h := range o.Header {
		if !isToken(h.Name) || hasControl(h.Value) {
			return nil, fmt.Errorf("cannot send header %q: its name or value is not legal", h.Name)
		}
		if isOurs(h.Name) {
			return nil, fmt.Errorf("cannot send header %q: hookspool sets it", h.Name)
		}
		if equalFold(h.Name, "authorization") && w.authorization == "" {
			w.authorization = h.Name
		}
		w.names = append(w.names, strings.ToLower(h.Name))
	}
	if !slices.Contains([]string{"", http.MethodPost, http.MethodPut, http.MethodPatch}, o.Method) {
		return nil, fmt.Errorf("cannot use method %.40q: it must be POST, PUT or PATCH", o.Method)
	}
	if hasControl(o.UserAgent) {
		return nil, fmt.Errorf("cannot send User-Agent %q: it is not legal", o.UserAgent)
	}
	w.authorization = cmp.Or(w.authorization, "Authorization")
	w.contentType = w.configured("content-type")
	target, shown := requestTarget(o.URL)
	if isAbsolute(o) {
		target, shown = "http://"+host+target, "http://"+host+shown
	}
	w.static = w.makeStatic(o, host, target, false)
	w.preview = w.makeStatic(o, host, shown, true)
	_, where := requestTarget(o.URL)
	w.shown = cmp.Or(o.Method, http.MethodPost) + " " + o.URL.Scheme + "://" + host + where
	return w, nil
}

// isAbsolute reports that requests go in absolute form (RFC 9112 §3.2.2).
func isAbsolute(o Options) bool { return o.Proxy != nil && o.URL.Scheme == "http" }

// requestTarget returns path and query as configured, and the same with the query redacted.
// Only bytes that would break the request line are escaped: url.Parse leaves spaces and
// letters beyond ASCII in a query.
func requestTarget(u *url.URL) (target, shown string) {
	path := u.EscapedPath()
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	if u.RawQuery == "" && !u.ForceQuery {
		return path, path
	}
	var query strings.Builder
	for i := range len(u.RawQuery) {
		if c := u.RawQuery[i]; c <= ' ' || c >= 0x7f {
			fmt.Fprintf(&query, "%%%02X", c)
		} else {
			query.WriteByte(c)
		}
	}
	return path + "?" + query.String(), path + "?" + redacted
}

// makeStatic writes the static part of the heads.
func (w *writer) makeStatic(o Options, host, target string, redact bool) static {
	var s static
	b := append([]byte(cmp.Or(o.Method, http.MethodPost)+" "), target...)
	b = append(b, " HTTP/1.1\r\n"...) // nobody sends that line with HTTP/2, but people look at it
	if redact {
		b = append(b[:len(b)-len("1.1\r\n")], versionShown(o.HTTP)+"\r\n"...)
	}
	if !w.configured("host") {
		b = appendField(b, "Host", host)
	}
	if isAbsolute(o) && o.Proxy.User != nil {
		value := "Basic " + basicAuth(o.Proxy.User)
		if redact {
			value = redacted
		}
		b = appendField(b, "Proxy-Authorization", value)
	}
	if o.UserAgent != "" && !w.configured("user-agent") {
		b = appendField(b, "User-Agent", o.UserAgent)
	}
	if !w.configured("authorization") {
		s.before, b = b, nil
	}
	for _, h := range o.Header {
		value := h.Value
		if redact {
			value = redacted
		}
		if s.before == nil && equalFold(h.Name, "authorization") {
			s.before, b = b, nil
		} else {
			b = appendField(b, h.Name, value)
		}
	}
	s.after = b
	return s
}

// versionShown is what a preview says of the version.
func versionShown(version string) string {
	switch version {
	case versionTwo:
		return "2"
	case versionAuto:
		return "2 or HTTP/1.1"
	}
	return "1.1"
}

// begin appends the static part of a head; without an authorization that field is left out.
func (w *writer) begin(dst []byte, authorization string) []byte {
	dst = append(dst, w.static.before...)
	if authorization != "" {
		dst = appendField(dst, w.authorization, authorization)
	}
	return append(dst, w.static.after...)
}

// beginPreview is begin for people.
func (w *writer) beginPreview(authorized bool) []byte {
	dst := append([]byte(nil), w.preview.before...)
	if authorized {
		dst = appendField(dst, w.authorization, redacted)
	}
	return append(dst, w.preview.after...)
}

// configured reports whether Options.Header has a header; lower is in lower case.
func (w *writer) configured(lower string) bool {
	for _, name := range w.names {
		if name == lower {
			return true
		}
	}
	return false
}

// appendHead appends the whole head of one request to dst, which holds what begin or
// beginPreview gave. It fails, and nothing may be sent then, when a value would break out of its
// line: accepting has refused such events, and this is the last look.
func (w *writer) appendHead(dst []byte, r *Request) ([]byte, error) {
	for _, v := range [...]struct{ name, value string }{
		{"Content-Type", r.ContentType},
		{"webhook-id", r.ID},
		{"webhook-event-type", r.Type},
		{"webhook-session", r.Session},
	} {
		if hasControl(v.value) {
			return dst, fmt.Errorf("the value of %s holds a control character", v.name)
		}
	}
	if r.ContentType != "" && !w.contentType {
		dst = appendField(dst, "Content-Type", r.ContentType)
	}
	dst = appendInt(dst, "Content-Length", int64(len(r.Payload)))
	dst = appendField(dst, "webhook-id", r.ID)
	dst = appendInt(dst, "webhook-timestamp", r.At.Unix())
	if len(w.keys) > 0 {
		dst = append(dst, "webhook-signature: "...)
		dst = signature.AppendAll(dst, w.keys, r.ID, r.At.Unix(), r.Payload)
		dst = append(dst, '\r', '\n')
	}
	dst = appendInt(dst, "webhook-attempt", int64(r.Attempt))
	if r.Type != "" || !r.Batch {
		dst = appendField(dst, "webhook-event-type", r.Type)
	}
	if r.Session != "" {
		dst = appendField(dst, "webhook-session", r.Session)
	}
	if r.Replay {
		dst = appendField(dst, "webhook-replay", "true")
	}
	if r.Sample {
		dst = appendField(dst, "webhook-sample", "true")
	}
	return w.appendFrozen(dst, r.Header)
}

// appendFrozen appends the headers frozen with the event and the end of the head.
func (w *writer) appendFrozen(dst []byte, headers []Header) ([]byte, error) {
	for _, h := range headers {
		if err := CheckFrozen(h.Name, h.Value); err != nil {
			return dst, err
		}
		if !w.overridden(h.Name) {
			dst = appendField(dst, h.Name, h.Value)
		}
	}
	return append(dst, '\r', '\n'), nil
}

// CheckFrozen says why no attempt can carry a header that is frozen with an event; nil: it can.
func CheckFrozen(name, value string) error {
	switch {
	case !isToken(name) || hasControl(value):
		return fmt.Errorf("the event's header %.40q is not legal", name)
	case isOurs(name):
		return fmt.Errorf("the event's header %.40q is not legal: hookspool sets it", name)
	case isTargets(name):
		return fmt.Errorf("the event's header %.40q is not legal: only a target's config sets it", name)
	}
	return nil
}

// overridden is configured for a name in any case.
func (w *writer) overridden(name string) bool {
	for _, lower := range w.names {
		if equalFold(name, lower) {
			return true
		}
	}
	return false
}

// appendField appends one header line.
func appendField(dst []byte, name, value string) []byte {
	dst = append(dst, name...)
	dst = append(dst, ':', ' ')
	dst = append(dst, value...)
	return append(dst, '\r', '\n')
}

// appendInt appends one header line with a number.
func appendInt(dst []byte, name string, value int64) []byte {
	dst = append(dst, name...)
	dst = append(dst, ':', ' ')
	dst = strconv.AppendInt(dst, value, 10)
	return append(dst, '\r', '\n')
}

// isOurs reports the headers that only this file writes: those that frame a request or speak
// for the connection, and those of CONTRACT §5.
func isOurs(name string) bool {
	for _, ours := range [...]string{
		"content-length", "transfer-encoding", "connection", "keep-alive", "proxy-connection",
		"te", "trailer", "upgrade", "expect",
		"webhook-id", "webhook-timestamp", "webhook-signature", "webhook-attempt",
		"webhook-event-type", "webhook-session", "webhook-replay", "webhook-sample",
	} {
		if equalFold(name, ours) {
			return true
		}
	}
	return false
}

// isTargets reports the headers that a target's configuration may set, and an event may not.
func isTargets(name string) bool {
	for _, theirs := range [...]string{
		"host", "user-agent", "content-type", "authorization", "proxy-authorization", "cookie",
	} {
		if equalFold(name, theirs) {
			return true
		}
	}
	return false
}
