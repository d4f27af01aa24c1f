package attempt

import (
	"bytes"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
)

// secretBytesMin is the length from which a configured value is hidden in what a target
// answers. Shorter ones ("1", "true") are everywhere by chance.
const secretBytesMin = 8

// secrets are what a target may echo (httpbin and its like answer with the request) and what
// must not reach a log or the console by that way. Read-only.
type secrets [][]byte

// newSecrets collects the header values, user-info and query of a target, whole and in the parts in
// which they are echoed. The longest come first, so that none is left over around a shorter one.
func newSecrets(o Options) secrets {
	var list secrets
	add := func(text string) {
		for _, form := range []string{text, inJSON(text)} {
			if len(form) >= secretBytesMin {
				list = append(list, []byte(form))
			}
		}
	}
	for _, h := range o.Header {
		add(h.Value)
		// "Bearer token" may come back without its scheme.
		if i := strings.LastIndexByte(h.Value, ' '); i >= 0 {
			add(h.Value[i+1:])
		}
	}
	if o.URL.User != nil {
		password, _ := o.URL.User.Password()
		add(password)
		add(o.URL.User.Username())
		add(basicAuth(o.URL.User))
	}
	add(o.URL.RawQuery)
	for pair := range strings.SplitSeq(o.URL.RawQuery, "&") {
		value := pair
		if _, after, ok := strings.Cut(pair, "="); ok {
			value = after
		}
		add(value)
		if plain, err := url.QueryUnescape(value); err == nil {
			add(plain)
		}
	}
	slices.SortStableFunc(list, func(a, b []byte) int { return len(b) - len(a) })
	return slices.CompactFunc(list, bytes.Equal)
}

// inJSON is text as it stands in a JSON string.
func inJSON(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil {
		return text
	}
	return string(quoted[1 : len(quoted)-1])
}

// redact replaces the secrets in text. One that the end of text cuts is cut off altogether.
func (s secrets) redact(text []byte) []byte {
	for _, secret := range s {
		if bytes.Contains(text, secret) {
			text = bytes.ReplaceAll(text, secret, []byte(redacted))
		}
		for n := min(len(secret)-1, len(text)); n >= secretBytesMin/2; n-- {
			if bytes.HasSuffix(text, secret[:n]) {
				text = text[:len(text)-n]
				break
			}
		}
	}
	return text
}
