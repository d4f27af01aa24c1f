package attempt

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
)

// secretBytesMin is the length from which a configured value is hidden in what a target
// answers. Shorter ones ("1", "true") are everywhere by chance.
const secretBytesMin = 8

// secrets are what a target may echo (httpbin and its like answer with the request) and what
// must not reach a log or the console by that way. Safe for concurrent use.
type secrets struct {
	config []string
	from   Credential // nil: there is none
	made   atomic.Pointer[hidden]
}

// hidden are the forms in which secrets are looked for.
type hidden struct {
	given []string // what the credential said when they were made
	forms [][]byte
}

// newSecrets collects the header values, user-info and query of a target, whole and in the parts in
// which they are echoed. What the credential gives is asked for as it changes.
func newSecrets(o Options, from Credential) *secrets {
	s := &secrets{from: from}
	for _, h := range o.Header {
		s.config = append(s.config, secretsOfHeader(h.Value)...)
	}
	if o.URL.User != nil {
		s.config = append(s.config, secretsOfUser(o.URL.User)...)
	}
	if o.Proxy != nil && o.Proxy.User != nil {
		s.config = append(s.config, secretsOfUser(o.Proxy.User)...)
	}
	s.config = append(s.config, o.URL.RawQuery)
	for pair := range strings.SplitSeq(o.URL.RawQuery, "&") {
		value := pair
		if _, after, ok := strings.Cut(pair, "="); ok {
			value = after
		}
		s.config = append(s.config, value)
		if plain, err := url.QueryUnescape(value); err == nil {
			s.config = append(s.config, plain)
		}
	}
	return s
}

// forms are all secrets as they may be echoed. The longest come first, so that none is left over
// around a shorter one. They are made again only when the credential has something new, or has
// forgotten what this attempt was sent with: another attempt may have been given another value.
func (s *secrets) forms(sent string) [][]byte {
	var given []string
	if s.from != nil {
		given = s.from.Secrets()
	}
	if sent != "" && !slices.Contains(given, sent) {
		return formsOf(s.config, append(slices.Clone(given), sent))
	}
	if h := s.made.Load(); h != nil && len(h.given) == len(given) &&
		(len(given) == 0 || &h.given[0] == &given[0]) {
		return h.forms
	}
	h := &hidden{given, formsOf(s.config, given)}
	s.made.Store(h)
	return h.forms
}

// formsOf are the forms of texts, and of what a credential gave.
func formsOf(texts, given []string) (forms [][]byte) {
	for _, value := range given {
		texts = append(slices.Clip(texts), secretsOfHeader(value)...)
	}
	for _, text := range texts {
		for _, form := range []string{text, inJSON(text)} {
			if len(form) >= secretBytesMin {
				forms = append(forms, []byte(form))
			}
		}
	}
	slices.SortFunc(forms, func(a, b []byte) int {
		return cmp.Or(len(b)-len(a), bytes.Compare(a, b))
	})
	return slices.CompactFunc(forms, bytes.Equal)
}

// inJSON is text as it stands in a JSON string.
func inJSON(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil {
		return text
	}
	return string(quoted[1 : len(quoted)-1])
}

// redact replaces the secrets in text, and what a request was sent with. One that the end of text
// cuts is cut off altogether.
func (s *secrets) redact(text []byte, sent string) []byte {
	for _, secret := range s.forms(sent) {
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
