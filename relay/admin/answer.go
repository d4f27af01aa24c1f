package admin

import (
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/valyala/fasthttp"
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

// refuse answers with an error of the caller's, or with 500 and a line in the log.
func (s *Server) refuse(ctx *fasthttp.RequestCtx, err error) {
	var refusal *Error
	if !errors.As(err, &refusal) {
		s.options.Log.Error("an admin request failed; the caller was told", "error", err,
			"method", string(ctx.Method()), "path", string(ctx.Path()))
		refusal = Refuse(fasthttp.StatusInternalServerError, codeInternal, "%s", err)
	}
	writeProblem(ctx, refusal)
}

func writeProblem(ctx *fasthttp.RequestCtx, e *Error) {
	title := fasthttp.StatusMessage(e.Status)
	writeJSON(ctx, Problem{Type: "about:blank", Title: title, Status: e.Status, Code: e.Code,
		Detail: e.Detail, Hint: e.Hint, Faults: e.Faults, Lines: e.Lines})
	ctx.SetStatusCode(e.Status)
	ctx.SetContentType("application/problem+json")
}

// writeJSON answers 200 with v, which is one of this package's types and so can be encoded.
func writeJSON(ctx *fasthttp.RequestCtx, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic("BUG: an answer cannot be encoded: " + err.Error())
	}
	ctx.SetContentType("application/json")
	ctx.SetBody(append(body, '\n'))
}

func writeText(ctx *fasthttp.RequestCtx, text string) {
	ctx.SetContentType("text/plain; charset=utf-8")
	ctx.SetBodyString(text)
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
