package accept

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/valyala/fasthttp"
)

// The codes of refusals (CONTRACT §4). They are also the values of the reason label.
const (
	CodeMalformed        = "malformed"
	CodeUnauthorized     = "unauthorized"
	CodeNotFound         = "not_found"
	CodeMethodNotAllowed = "method_not_allowed"
	CodeConflict         = "id_conflict"
	CodeTooLarge         = "too_large"
	CodeUnsupported      = "unsupported_media_type"
	CodeOverloaded       = "overloaded"
	CodeDraining         = "draining"
	CodeSpoolFull        = "spool_full"
	CodeDiskError        = "disk_error"
)

// Codes are all of them with their status, in the order of the contract.
func Codes() map[string]int {
	return map[string]int{
		CodeMalformed: 400, CodeUnauthorized: 401, CodeNotFound: 404, CodeMethodNotAllowed: 405,
		CodeConflict: 409, CodeTooLarge: 413, CodeUnsupported: 415, CodeOverloaded: 503,
		CodeDraining: 503, CodeSpoolFull: 507, CodeDiskError: 507,
	}
}

// Refusal is why an event was not accepted. Nothing of it is spooled.
type Refusal struct {
	// Code is one of Codes.
	Code string
	// Detail is for people.
	Detail string
	// Lines are the 1-based numbers of the events of a batch that are at fault.
	Lines []int
	// RetryAfter, in seconds, when waiting helps; 0: no header.
	RetryAfter int
	// status, when set, is another than the code's.
	status int
}

// code is that of a refusal; empty: there is none.
func (r *Refusal) code() string {
	if r == nil {
		return ""
	}
	return r.Code
}

// Status is the status of the answer.
func (r *Refusal) Status() int { return cmp.Or(r.status, Codes()[r.Code]) }

func (r *Refusal) Error() string { return r.Code + ": " + r.Detail }

func refuse(code, format string, args ...any) *Refusal {
	return &Refusal{Code: code, Detail: fmt.Sprintf(format, args...)}
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
func (r *Refusal) write(ctx *fasthttp.RequestCtx) {
	status := r.Status()
	body, err := json.Marshal(problem{
		Type: "about:blank", Title: fasthttp.StatusMessage(status), Status: status, Code: r.Code,
		Detail: r.Detail, Lines: r.Lines,
	})
	if err != nil {
		panic("BUG: a problem cannot be encoded: " + err.Error())
	}
	h := &ctx.Response.Header
	ctx.Response.ResetBody()
	ctx.SetStatusCode(status)
	h.SetContentType("application/problem+json")
	h.Set("X-Content-Type-Options", "nosniff")
	switch r.Code {
	case CodeMethodNotAllowed:
		h.Set("Allow", "GET, HEAD, POST")
	case CodeUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="hookspool events"`)
	}
	if r.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(r.RetryAfter))
	}
	ctx.SetBody(body)
	ctx.Response.AppendBodyString("\n")
}
