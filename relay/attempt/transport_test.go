package attempt

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// faulty is a transport that fails as it is told, or answers with what it was asked to send.
type faulty struct {
	fault  *fault
	status int
	cancel func()
	calls  int
	closed bool
}

func (f *faulty) carry(_ context.Context, c *call) *fault {
	f.calls++
	c.remote = "192.0.2.1:443"
	if f.cancel != nil {
		f.cancel()
	}
	if f.fault != nil {
		return f.fault
	}
	if keep, _ := c.answered(f.status, time.Now()); keep > 0 {
		c.snippet = []byte("you sent " + c.authorization)
	}
	return nil
}

func (f *faulty) empty(time.Time) {}
func (f *faulty) close()          { f.closed = true }

// Whatever carries a request, its faults and answers come to the same outcomes, secrets are hidden,
// and the credential hears of refusals.
func TestTransport(t *testing.T) {
	cred := &rotating{}
	o := options(t, "https://crm/")
	o.Credential = cred
	try := func(tr *faulty, ctx context.Context) Outcome {
		t.Helper()
		c := newTestClient(t, o)
		c.transport = tr
		out := checked(t, c.Do(ctx, request()))
		if tr.calls != 1 {
			t.Errorf("%d calls", tr.calls)
		}
		if c.Close(); !tr.closed {
			t.Error("it is not closed with its client")
		}
		return out
	}
	ctx := context.Background()
	f := func(kind Kind, err error, want Kind, text string) {
		t.Helper()
		out := try(&faulty{fault: &fault{kind, "carry", err}}, ctx)
		if out.Kind != want || !strings.Contains(out.Error, text) || out.Remote == "" {
			t.Errorf("%v, %v: %+v; want %v, %q", kind, err, out, want, text)
		}
	}
	no := errors.New("no")
	for _, kind := range []Kind{Connect, DNS, TLS, Protocol, Withheld} {
		f(kind, no, kind, "cannot carry: no")
	}
	f(Protocol, io.EOF, Protocol, "closed the connection")
	f(Protocol, os.ErrDeadlineExceeded, Timeout, "not done within")
	f(Connect, syscall.EMFILE, Withheld, "descriptor")
	stopped, cancel := context.WithCancel(ctx)
	if out := try(&faulty{fault: &fault{Protocol, "carry", no}, cancel: cancel}, stopped); out.Kind != Aborted {
		t.Errorf("%+v; want aborted", out)
	}
	if out := try(&faulty{status: 200}, ctx); out.Kind != Success || out.Snippet != nil {
		t.Errorf("%+v; want success", out)
	}
	out := try(&faulty{status: 401}, ctx)
	if out.Kind != Status || out.Status != 401 || string(out.Snippet) != "you sent "+redacted ||
		len(cred.refused) != 1 {
		t.Errorf("%+v, told %q", out, cred.refused)
	}
}
