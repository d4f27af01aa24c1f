package attempt

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"
)

// errorBytesMax bounds Outcome.Error and Outcome.StatusLine.
const errorBytesMax = 256

// fault is a failure in one phase of an attempt: the Kind of that phase unless the clock or
// our own stopping explains it better, what could not be done, and why.
type fault struct {
	kind Kind
	verb string
	err  error
}

// Error says what could not be done, and why. It may hold what a stranger said.
func (f *fault) Error() string { return "cannot " + f.verb + ": " + reason(f.err) }

// Unwrap returns the cause.
func (f *fault) Unwrap() error { return f.err }

// settle turns the fault into an Outcome. Our stopping explains everything that failed after
// it, a want of ours what it made fail; the deadline explains what it cut off. The error
// is not yet cut short, nor free of what a stranger said.
func (f *fault) settle(ctx context.Context, start, deadline time.Time) Outcome {
	switch {
	case ctx.Err() == context.Canceled:
		return Outcome{Kind: Aborted, Error: "cannot " + f.verb + ": aborted"}
	case f.kind == Withheld:
		return Outcome{Kind: Withheld, Error: "cannot " + f.verb + ": " + f.err.Error()}
	case asWant(f.err) != nil:
		w := asWant(f.err)
		return Outcome{Kind: Withheld, Want: w.want,
			Error: "cannot " + f.verb + ": " + w.Error()}
	case f.kind == Auth:
		return Outcome{Kind: Auth, Error: "cannot " + f.verb + ": " + f.err.Error()}
	case errors.Is(f.err, os.ErrDeadlineExceeded) || !time.Now().Before(deadline):
		within := deadline.Sub(start).Round(time.Millisecond).String()
		return Outcome{Kind: Timeout,
			Error: "cannot " + f.verb + ": not done within " + within}
	}
	kind := f.kind
	if kind == Protocol && isAlert(f.err) {
		kind = TLS
	}
	return Outcome{Kind: kind, Error: f.Error()}
}

// isAlert reports an error of TLS itself on an established connection: an alert of the
// target's, or a record that is none. crypto/tls keeps its alert type to itself, but marks
// both by the Op.
func isAlert(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && (op.Op == "remote error" || op.Op == "local error")
}

// refusesALPN reports that the target takes no protocol that we offer (RFC 7301 §3.2). crypto/tls
// keeps its alert type to itself, so the text has to tell.
func refusesALPN(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "remote error" && op.Err != nil &&
		op.Err.Error() == "tls: no application protocol"
}

// isClosed reports that the target ended the connection, politely or not.
func isClosed(err error) bool {
	for _, end := range []error{
		io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED,
	} {
		if errors.Is(err, end) {
			return true
		}
	}
	return false
}

// reason is the text of err without the parts that say what the verb has said.
func reason(err error) string {
	op, isOp := errors.AsType[*net.OpError](err)
	by, isBy := errors.AsType[*byProxy](err)
	switch {
	case isBy:
		return strings.ReplaceAll(reason(by.err), "the target", "the proxy")
	case refusesALPN(err):
		return "the target refuses HTTP/1.1 (no application protocol); it may speak HTTP/2 only, " +
			"write http = \"2\""
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the target closed the connection"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "the target reset the connection"
	case isOp && op.Addr != nil && op.Op == "dial":
		return op.Addr.String() + ": " + reason(op.Err)
	case isOp && op.Err != nil:
		return op.Op + ": " + op.Err.Error()
	}
	return err.Error()
}

// printable makes one short line of text that may come from a stranger: certificates and
// status lines say what their owner likes.
func printable(text string) string {
	text = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
	if len(text) <= errorBytesMax {
		return text
	}
	end := errorBytesMax - len("…")
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}

// Untransformed is the Outcome of an attempt that was not made because there was nothing to send.
func Untransformed(why string) Outcome {
	return Outcome{Kind: Transform, Error: printable("cannot transform the event: " + why)}
}
