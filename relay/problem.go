package relay

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/valyala/fasthttp"
)

// Codes of refusals (CONTRACT §4). They are also the values of the reason label.
const (
	codeMalformed        = "malformed"
	codeUnauthorized     = "unauthorized"
	codeNotFound         = "not_found"
	codeMethodNotAllowed = "method_not_allowed"
	codeConflict         = "id_conflict"
	codeTooLarge         = "too_large"
	codeUnsupported      = "unsupported_media_type"
	codeOverloaded       = "overloaded"
	codeDraining         = "draining"
	codeSpoolFull        = "spool_full"
	codeDiskError        = "disk_error"
)

// refusalCodes are all of them with their status, in the order of the contract.
func refusalCodes() map[string]int {
	return map[string]int{
		codeMalformed: 400, codeUnauthorized: 401, codeNotFound: 404, codeMethodNotAllowed: 405,
		codeConflict: 409, codeTooLarge: 413, codeUnsupported: 415, codeOverloaded: 503,
		codeDraining: 503, codeSpoolFull: 507, codeDiskError: 507,
	}
}

// refusal is why an event was not accepted. Nothing of it is spooled.
type refusal struct {
	code   string
	detail string
	// lines are the 1-based numbers of the events of a batch that are at fault.
	lines []int
	// retryAfter, in seconds, when waiting helps; 0: no header.
	retryAfter int
	// status, when set, is another than the code's.
	status int
}

func (r *refusal) Error() string { return r.code + ": " + r.detail }

func refuse(code, format string, args ...any) *refusal {
	return &refusal{code: code, detail: fmt.Sprintf(format, args...)}
}

// problem is the body of a refusal, RFC 9457.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
	Lines  []int  `json:"lines,omitempty"`
}

// write answers with the refusal.
func (r *refusal) write(ctx *fasthttp.RequestCtx) {
	status := cmp.Or(r.status, refusalCodes()[r.code])
	body, err := json.Marshal(problem{
		Type: "about:blank", Title: fasthttp.StatusMessage(status), Status: status, Code: r.code,
		Detail: r.detail, Lines: r.lines,
	})
	if err != nil {
		panic("BUG: a problem cannot be encoded: " + err.Error())
	}
	h := &ctx.Response.Header
	ctx.Response.ResetBody()
	ctx.SetStatusCode(status)
	h.SetContentType("application/problem+json")
	h.Set("X-Content-Type-Options", "nosniff")
	switch r.code {
	case codeMethodNotAllowed:
		h.Set("Allow", "GET, HEAD, POST")
	case codeUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="hookspool events"`)
	}
	if r.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(r.retryAfter))
	}
	ctx.SetBody(body)
}
