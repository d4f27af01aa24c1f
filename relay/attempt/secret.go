package attempt

import (
	"bytes"
	"strings"
)

// secretBytesMin is the length from which a configured value is hidden in what a target
// answers. Shorter ones ("1", "true") are everywhere by chance.
const secretBytesMin = 8

// secrets are what a target may echo (httpbin and its like answer with the request) and what
// must not reach a log or the console by that way. Read-only.
type secrets [][]byte

// newSecrets collects the header values, user-info and query of a target.
func newSecrets(o Options) secrets {
	var list secrets
	add := func(text string) {
		if len(text) >= secretBytesMin {
			list = append(list, []byte(text))
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
		add(basicAuth(o.URL.User))
	}
	add(o.URL.RawQuery)
	return list
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
