package admin

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Codes of the refusals that are made here; a Backend has more of its own.
const (
	codeMalformed        = "malformed"
	codeUnauthorized     = "unauthorized"
	codeForbidden        = "forbidden"
	codeNotFound         = "not_found"
	codeMethodNotAllowed = "method_not_allowed"
	codeTimeout          = "timeout"
	codeTooLarge         = "too_large"
	codeMisdirected      = "misdirected"
	codeOverloaded       = "overloaded"
	codeInternal         = "internal"
)

// The content types of answers.
const (
	plainJSON   = "application/json"
	problemJSON = "application/problem+json"
	plainText   = "text/plain; charset=utf-8"
	ndjson      = "application/x-ndjson"
	octets      = "application/octet-stream"
)

// shownBytesMax bounds what is quoted of a request.
const shownBytesMax = 100

// Problem is the body of a refusal, RFC 9457.
type Problem struct {
	Type   string   `json:"type"`
	Title  string   `json:"title"`
	Status int      `json:"status"`
	Code   string   `json:"code"`
	Detail string   `json:"detail"`
	Hint   string   `json:"hint,omitempty"`
	Faults []string `json:"faults,omitempty"`
	Lines  []int    `json:"lines,omitempty"`
}

// encode writes one of this package's types, which can be encoded.
func encode(v any) []byte {
	body, err := json.Marshal(v)
	if err != nil {
		panic("BUG: an answer cannot be encoded: " + err.Error())
	}
	return append(body, '\n')
}

// refuse answers with an error of the caller's, or with 500 and a line in the log.
func (s *Server) refuse(c *call, err error) {
	var refusal *Error
	if !errors.As(err, &refusal) {
		s.options.Log.Error("an admin request failed; the caller was told", "error", err,
			"method", c.r.Method, "path", c.r.URL.Path)
		refusal = Refuse(http.StatusInternalServerError, codeInternal, "%s", err)
	}
	if refusal.RetryAfter > 0 {
		c.header().Set("Retry-After", strconv.Itoa(refusal.RetryAfter))
	}
	c.send(refusal.Status, problemJSON, refusal.problem())
}

// problem is the body of a refusal.
func (e *Error) problem() []byte {
	return encode(Problem{Type: "about:blank", Title: http.StatusText(e.Status), Status: e.Status,
		Code: e.Code, Detail: e.Detail, Hint: e.Hint, Faults: e.Faults, Lines: e.Lines})
}

// array makes of no list an empty one: in JSON [] and not null.
func array[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// shorten bounds what is quoted, and makes it valid UTF-8.
func shorten(text string) string {
	if len(text) <= shownBytesMax {
		return strings.ToValidUTF8(text, "\uFFFD")
	}
	end := shownBytesMax
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return strings.ToValidUTF8(text[:end], "\uFFFD") + "…"
}
