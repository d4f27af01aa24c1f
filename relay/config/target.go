package config

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
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
	everyTicksMax       = 1000
	rateMax             = 1_000_000
	earlyRetriesMax     = 16
)

// batchEventsMax is what a relay takes in one request, batchWaitMax how long an event may wait for
// others to go with it.
const (
	batchEventsMax = 10_000
	batchWaitMax   = 10 * time.Second
)

// batch takes a table; an empty one means that there are no batches.
func batch(to *Batch) setter {
	return func(d *decoder, at keyPath, raw any) {
		const hint = `write batch = { format = "cloudevents" }, or "ndjson"`
		table, ok := raw.(map[string]any)
		switch {
		case !ok:
			d.wrongType(at, raw, "a table", hint)
			return
		case len(table) == 0:
			*to = Batch{}
			return
		}
		found := Batch{MaxEvents: 100, MaxWait: 200 * time.Millisecond}
		d.table(at, raw, []row{
			{name: "max_events", set: integer(&found.MaxEvents, 1, batchEventsMax,
				"events of one request; a relay takes up to 10,000")},
			{name: "max_wait", set: duration(&found.MaxWait, span{low: time.Millisecond,
				high: batchWaitMax, off: "take what is there",
				why: "so long the first event of a request waits for others"})},
			{name: "format", set: choice(&found.Format, "cloudevents", "ndjson")},
		})
		if _, ok := table["format"]; !ok {
			d.fault(at.key("format"), problem{"is missing", hint})
		}
		*to = found
	}
}

// httpAuto is the version of HTTP that the target chooses.
const httpAuto = "auto"

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
		{name: "where", set: program(&t.Where)},
		{name: "transform", set: program(&t.Transform)},
		{name: "order", set: order(&t.Order)},
		{name: "rate", set: rate(&t.Rate)},
		{name: "early_retries", set: durations(&t.EarlyRetries, bound{high: earlyRetriesMax,
			hint: `write ["2s", "30s"]`}, span{low: testDurationMin, high: day,
			why: "how long after the attempt before it an early retry is made"})},
		{name: "max_attempts", set: integer(&t.MaxAttempts, 0, retriesMax,
			"retries of this target's deliveries; 0: retry.max_attempts")},
		{name: "every_ticks", set: integer(&t.EveryTicks, 1, everyTicksMax,
			"a job at every n-th tick; 1: at each")},
		{name: "retry_after_max", set: duration(&t.RetryAfterMax, span{
			low: testDurationMin, high: 31 * day, off: "Retry-After is ignored",
			why: "a target that asks for more is held this long"})},
		{name: "connection_max_age", set: duration(&t.ConnectionMaxAge, span{
			low: testDurationMin, high: 31 * day, off: "a connection is used for as long as it lives",
			why: "a connection that is older is closed after its answer"})},
		{name: "expire", set: optionalDuration(&t.Expire, span{low: testDurationMin, high: 3650 * day,
			why: "a delivery that is older is not attempted any more; empty: none is too old"})},
		{name: "gone", set: choice(&t.Gone, "retry", "pause")},
		{name: "method", set: choice(&t.Method, "POST", "PUT", "PATCH")},
		{name: "batch", set: batch(&t.Batch)},
		{name: "http", set: choice(&t.HTTP, "1.1", "2", httpAuto)},
		{name: "proxy", set: proxy(&t.Proxy)},
		{name: "oauth2", rows: oauth2Rows(&t.OAuth2)},
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
	if t.Order.All {
		if _, set := values["concurrency"]; set && t.Concurrency > 1 {
			d.fault(at.key("concurrency"), problem{`can never be met: order = "all" makes one attempt ` +
				"at a time", "remove it"})
		}
		t.Concurrency = 1
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
	list := distinct(to, many, "secret", checkSecret)
	return func(d *decoder, at keyPath, raw any) {
		if raw == "" {
			*to = nil
			return
		}
		list(d, at, raw)
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

// headers takes a table of header names and values.
func headers(to *[]Header) setter {
	return pairs(to, pairing{most: headersMax, what: "headers",
		hint: `write headers = { X-Name = "value" }`, name: checkHeaderName, value: checkHeaderValue})
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
