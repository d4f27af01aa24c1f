package config

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	targetNameBytesMax  = 64
	concurrencyMax      = 1024
	urlBytesMax         = 8 << 10 // what common servers accept as a request line
	secretsMax          = 8       // each adds a signature to one header
	headersMax          = 64
	headerNameBytesMax  = 256
	headerValueBytesMax = 8 << 10
	prefixesMax         = 256
)

// targetRows are the keys of one [target.NAME].
func targetRows(t *Target) []row {
	return []row{
		{name: "url", set: targetURL(&t.URL)},
		{name: "status", set: mapped(&t.Status, statusOf, "enabled", "paused", "disabled")},
		{name: "events", set: texts(&t.Events, bound{low: 1, high: patternsMax,
			hint: `choose the events, such as ["message", "templateMessage*"]; ["*"] is all`},
			checkPattern)},
		{name: "session", set: choice(&t.Session, "any", "active", "inactive")},
		{name: "success", set: success(&t.Success)},
		{name: "timeout", set: duration(&t.Timeout, timeoutSpan())},
		{name: "concurrency", set: integer(&t.Concurrency, 1, concurrencyMax,
			"attempts in flight to this target; 1 keeps their order")},
		{name: "secret", set: secrets(&t.Secrets)},
		{name: "headers", set: headers(&t.Headers)},
		{name: "ca_file", set: text(&t.CAFile, checkPath)},
		{name: "client_cert", set: text(&t.ClientCert, checkPath)},
		{name: "client_key", set: text(&t.ClientKey, checkPath)},
		{name: "allow_addresses", set: prefixes(&t.AllowAddresses)},
	}
}

// targets takes [target.NAME] tables. What is wrong inside of one does not hide what is wrong in
// the next.
func targets(to *[]Target) setter {
	return func(d *decoder, at keyPath, raw any) {
		tables, ok := raw.(map[string]any)
		if !ok {
			d.wrongType(at, raw, "tables with names", "write [target.NAME], such as [target.crm]")
			return
		}
		if len(tables) > targetsMax {
			d.fault(at, problem{fmt.Sprintf("has %d targets, the most is %d", len(tables),
				targetsMax), ""})
			return
		}
		for name, value := range tables {
			*to = append(*to, d.target(at.key(name), name, value))
		}
	}
}

func (d *decoder) target(at keyPath, name string, raw any) Target {
	t := DefaultTarget(name)
	rows := targetRows(&t)
	values, ok := raw.(map[string]any)
	if !ok {
		hint := "write [target.NAME], with a name of your choice, and its keys below"
		d.wrongType(at, raw, "a table", hint)
		return t
	}
	if p := checkTargetName(name); p != (problem{}) {
		d.fault(at, p)
	}
	d.table(at, raw, rows)
	if _, ok := values["url"]; !ok {
		d.fault(at.key("url"), problem{"is missing",
			`write url = "https://host/path": where the events go`})
	}
	if _, ok := values["events"]; !ok {
		d.fault(at.key("events"), problem{"is missing",
			`choose the events, such as ["message", "templateMessage*"]; ["*"] is all`})
	}
	return t
}

// checkTargetName keeps names fit for paths of the API, labels of metrics and keys on disk.
func checkTargetName(name string) problem {
	if name == "" || len(name) > targetNameBytesMax ||
		strings.ContainsFunc(name, func(r rune) bool { return !isBare(r) }) {
		return problem{fmt.Sprintf("a target's name is 1 to %d letters, digits, _ and -",
			targetNameBytesMax), ""}
	}
	return problem{}
}

// CheckTargetName says why a target cannot have a name; nil: it can.
func CheckTargetName(name string) error {
	if p := checkTargetName(name); p != (problem{}) {
		return errors.New(p.message)
	}
	return nil
}

func timeoutSpan() span {
	return span{low: time.Millisecond, high: 10 * time.Minute,
		why: "it bounds the whole exchange; a hung target holds an attempt this long"}
}

func statusOf(word string) Status {
	return map[string]Status{"enabled": StatusEnabled, "paused": StatusPaused,
		"disabled": StatusDisabled}[word]
}

// targetURL takes an absolute http or https URL.
func targetURL(to **url.URL) setter {
	return func(d *decoder, at keyPath, raw any) {
		optionalURL(to)(d, at, raw)
		if d.sound(at...) && *to == nil {
			d.fault(at, problem{"cannot be empty", `write "https://host/path"`})
		}
	}
}

// optionalURL takes such a URL, or nothing.
func optionalURL(to **url.URL) setter {
	return func(d *decoder, at keyPath, raw any) {
		var parsed *url.URL
		var written string
		resolved(&written, func(s string) (p problem) {
			parsed, p = parseURL(s)
			return p
		})(d, at, raw)
		*to = parsed
	}
}

// parseURL describes what is wrong instead of wrapping url.Parse's error, which quotes its input:
// user-info and query may be secret.
func parseURL(s string) (*url.URL, problem) {
	const hint = `write "https://host/path"`
	if len(s) > urlBytesMax {
		return nil, problem{fmt.Sprintf("is longer than %d bytes", urlBytesMax), ""}
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return nil, problem{"holds a space or a control character", "write %20 for a space"}
	}
	u, err := url.Parse(s)
	if err != nil {
		return nil, problem{"is not a URL",
			`a port is a number, and special characters in user-info are written as %XX`}
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return nil, problem{"is not an absolute http:// or https:// URL with a host", hint}
	}
	if strings.Contains(s, "#") {
		return nil, problem{"has a fragment, which is never sent",
			"remove # and what follows, or write %23"}
	}
	if port := u.Port(); port != "" || strings.HasSuffix(u.Host, ":") {
		if n, ok := parsePort(port); !ok || n == 0 {
			return nil, problem{"has no port from 1 to 65535 after the colon", hint}
		}
	}
	return u, problem{}
}

// success takes a list of codes and of classes such as "2xx".
func success(to *Success) setter {
	const hint = `write [200], ["2xx"] or [200, 204]`
	return func(d *decoder, at keyPath, raw any) {
		list, ok := raw.([]any)
		if !ok {
			d.wrongType(at, raw, "a list of status codes", hint)
			return
		}
		var found Success
		for i, element := range list {
			switch low, high := codesOf(element); {
			case low == 0:
				message := `must be a status code from %d to %d, or "2xx" to "5xx"`
				d.fault(at.item(i), problem{fmt.Sprintf(message, codeMin, codeMax), hint})
			case low < codeMin:
				d.fault(at.item(i), problem{"can never be met: 1xx answers are interim, " +
					"the outcome is the answer after them", hint})
			default:
				for code := low; code <= high; code++ {
					found.add(code)
				}
			}
		}
		if len(list) == 0 {
			d.fault(at, problem{"cannot be empty", hint})
			return
		}
		*to = found
	}
}

// codesOf is the range that an int64 code or a string such as "2xx" stands for; 0: neither.
func codesOf(word any) (low, high int) {
	switch word := word.(type) {
	case int64:
		if word >= 100 && word <= codeMax {
			return int(word), int(word)
		}
	case string:
		if len(word) == 3 && word[1:] == "xx" && word[0] >= '1' && word[0] <= '5' {
			class := int(word[0]-'0') * 100
			return class, class + 99
		}
	}
	return 0, 0
}

// secrets takes one secret or a list of them. A single "" means none.
func secrets(to *[]Secret) setter {
	many := bound{high: secretsMax, single: true,
		hint: `write one secret in quotes, or a list of up to 8`}
	return func(d *decoder, at keyPath, raw any) {
		if raw == "" {
			*to = nil
			return
		}
		list, ok := d.items(at, raw, many)
		var found []Secret
		for _, item := range list {
			s, read := d.resolve(item.at, item.text)
			if !read {
				continue
			}
			p := checkSecret(s)
			if p == (problem{}) && slices.Contains(found, Secret(s)) {
				p = problem{"is the same secret as one before it", "leave one"}
			}
			if p != (problem{}) {
				d.fault(item.at, p)
				continue
			}
			found = append(found, Secret(s))
		}
		if ok && d.sound(at...) {
			*to = found
		}
	}
}

// checkSecret wants a key of Standard Webhooks 1.0: whsec_ and base64 of 24 to 64 random bytes, or
// whsk_ and base64 of an ed25519 private key with its public half.
func checkSecret(s string) problem {
	const hint = "make one with: hookspool keygen"
	if encoded, ok := strings.CutPrefix(s, "whsec_"); ok {
		if raw, ok := decodeBase64(encoded); !ok || len(raw) < 24 || len(raw) > 64 {
			return problem{"must be whsec_ and the base64 of 24 to 64 bytes", hint}
		}
		return problem{}
	}
	encoded, ok := strings.CutPrefix(s, "whsk_")
	if !ok {
		return problem{"must begin with whsec_ (HMAC) or whsk_ (ed25519 private key)", hint}
	}
	raw, ok := decodeBase64(encoded)
	if !ok || len(raw) != ed25519.PrivateKeySize {
		return problem{"must be whsk_ and the base64 of 64 bytes, private key and public key",
			hint + " --v1a"}
	}
	if !bytes.Equal(ed25519.NewKeyFromSeed(raw[:ed25519.SeedSize]), raw) {
		return problem{"the public half of the whsk_ key does not belong to its private half",
			hint + " --v1a"}
	}
	return problem{}
}

// headers takes a table of header names and values. A fault of a name is placed at the name, and
// one of a value as well, and neither quotes the value.
func headers(to *[]Header) setter {
	return func(d *decoder, at keyPath, raw any) {
		table, ok := raw.(map[string]any)
		if !ok {
			d.wrongType(at, raw, "a table", `write headers = { X-Name = "value" }`)
			return
		}
		if len(table) > headersMax {
			d.fault(at, problem{fmt.Sprintf("has %d headers, the most is %d", len(table),
				headersMax), ""})
			return
		}
		var found []Header
		for _, name := range slices.Sorted(maps.Keys(table)) {
			h := Header{Name: name}
			resolved(&h.Value, checkHeaderValue)(d, at.key(name), table[name])
			if p := checkHeaderName(name, found); p != (problem{}) {
				d.fault(at.key(name), p)
			}
			found = append(found, h)
		}
		*to = found
	}
}

// checkHeaderName wants a token of RFC 9110 §5.6.2 that is not ours to set: what describes the body
// or the connection is the client's, the rest is the contract's. Host comes from the URL alone, as
// certificate and address are checked against that. Authorization is legal.
func checkHeaderName(name string, before []Header) problem {
	notToken := func(r rune) bool {
		return !isBare(r) && !strings.ContainsRune("!#$%&'*+.^`|~", r)
	}
	if name == "" || len(name) > headerNameBytesMax || strings.ContainsFunc(name, notToken) {
		return problem{"is not the name of a header",
			fmt.Sprintf("1 to %d letters, digits and -; the value stands after the =",
				headerNameBytesMax)}
	}
	for _, h := range before {
		if strings.EqualFold(h.Name, name) {
			return problem{"stands in the table twice: case makes no difference", "leave one"}
		}
	}
	lower := strings.ToLower(name)
	if strings.HasPrefix(lower, "webhook-") {
		return problem{"headers that begin with webhook- are hookspool's own", "use another name"}
	}
	switch lower {
	case "host":
		return problem{"cannot be set", "the host comes from the url"}
	case "content-type", "content-length", "user-agent", "traceparent", "tracestate":
		return problem{"is set by hookspool", "remove it"}
	case "connection", "keep-alive", "proxy-connection", "transfer-encoding", "te", "trailer",
		"upgrade", "expect":
		return problem{"belongs to the connection and cannot be set", "remove it"}
	}
	return problem{}
}

func checkHeaderValue(s string) problem {
	switch {
	case len(s) > headerValueBytesMax:
		return problem{fmt.Sprintf("the value is longer than %d bytes", headerValueBytesMax), ""}
	case hasControl(s) || !utf8.ValidString(s):
		return problem{"the value holds a control character, such as a newline or a tab", ""}
	case strings.TrimSpace(s) != s:
		return problem{"the value begins or ends with a space, which would be lost on the way", ""}
	}
	return problem{}
}

func checkPath(s string) problem {
	if hasControl(s) {
		return problem{"holds a control character", ""}
	}
	return problem{}
}

// prefixes takes a list of CIDRs.
func prefixes(to *[]netip.Prefix) setter {
	many := bound{high: prefixesMax, hint: `write ["10.0.0.0/8"]`}
	return func(d *decoder, at keyPath, raw any) {
		list, ok := d.items(at, raw, many)
		var found []netip.Prefix
		for _, item := range list {
			prefix, p := parsePrefix(item.text)
			if p != (problem{}) {
				d.fault(item.at, p)
				ok = false
				continue
			}
			found = append(found, prefix)
		}
		if ok {
			*to = found
		}
	}
}
