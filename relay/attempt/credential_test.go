package attempt

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// rotating is a Credential that gives another token after each refusal, and fails as it is told.
type rotating struct {
	mu      sync.Mutex // guards below
	number  int
	err     error
	given   []string
	refused []string
	asked   int
	wait    bool // until ctx or the deadline ends
}

func (r *rotating) Authorization(ctx context.Context, deadline time.Time) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
	if r.wait {
		ctx, cancel := context.WithDeadline(ctx, deadline)
		defer cancel()
		<-ctx.Done()
		return "", ctx.Err()
	}
	if r.err != nil {
		return "", r.err
	}
	value := fmt.Sprintf("Bearer token-number-%d", r.number)
	if !slices.Contains(r.given, value) {
		r.given = append(slices.Clone(r.given), value)
	}
	return value, nil
}

func (r *rotating) Refused(value string, status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused = append(r.refused, fmt.Sprint(status, " ", value))
	r.number++
}

func (r *rotating) Secrets() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.given
}

// echoing answers each request with a status, and what it got as Authorization, now and before.
func echoing(t *testing.T, statuses ...int) (address string, got func() []string) {
	var mu sync.Mutex
	var seen []string
	r := newReceiver(t, func(nc net.Conn) {
		for in := bufio.NewReader(nc); ; {
			req, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, req.Body)
			mu.Lock()
			seen = append(seen, strings.Join(req.Header["Authorization"], "+"))
			text := strings.Join(seen, " ")
			status := statuses[min(len(seen), len(statuses))-1]
			mu.Unlock()
			fmt.Fprintf(nc, "HTTP/1.1 %d %s\r\nContent-Length: %d\r\n\r\n%s", status, text, len(text), text)
		}
	})
	return "http://" + r.listener.Addr().String() + "/", func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(seen)
	}
}

// A credential is asked for every attempt and told of every refusal, and nothing that it gave shows,
// neither now nor when the target repeats what was sent long ago.
func TestCredential(t *testing.T) {
	address, got := echoing(t, 401, 403, 500, 200)
	cred := &rotating{}
	o := options(t, address)
	o.Credential = cred
	c := newTestClient(t, o)
	r := request()
	r.Sample = true
	want := []Kind{Status, Status, Status, Success}
	for i, kind := range want {
		out := c.Do(context.Background(), r)
		if out.Kind != kind {
			t.Fatalf("attempt %d: %+v", i, out)
		}
		all := out.Error + out.StatusLine + string(out.Snippet)
		if strings.Contains(all, "token-number") || !strings.Contains(all, redacted) {
			t.Errorf("attempt %d tells %q", i, all)
		}
	}
	if preview := string(c.Preview(r)); strings.Contains(preview, "token-number") ||
		!strings.Contains(preview, "\r\nAuthorization: "+redacted+"\r\n") {
		t.Errorf("the preview is %q", preview)
	}
	if cred.asked != 4 {
		t.Errorf("it was asked %d times; want 4: a preview asks nobody", cred.asked)
	}
	sent := []string{"Bearer token-number-0", "Bearer token-number-1", "Bearer token-number-2",
		"Bearer token-number-2"}
	if !slices.Equal(got(), sent) {
		t.Errorf("sent %q; want %q", got(), sent)
	}
	refused := []string{"401 Bearer token-number-0", "403 Bearer token-number-1"}
	if !slices.Equal(cred.refused, refused) {
		t.Errorf("told %q; want %q", cred.refused, refused)
	}
}

// A value that another attempt had replaced meanwhile, and that the credential has forgotten, does
// not show either.
func TestCredentialForgets(t *testing.T) {
	address, _ := echoing(t, 500)
	o := options(t, address)
	o.Credential = &forgetful{}
	out := attemptAt(t, o)
	if text := string(out.Snippet); text != redacted {
		t.Errorf("the snippet is %q", text)
	}
}

// forgetful is a Credential that does not know what it gave.
type forgetful struct{ fixed }

func (*forgetful) Authorization(context.Context, time.Time) (string, error) {
	return "Bearer forgotten-token", nil
}

// A success that the target says by 403 is no refusal.
func TestCredentialAccepted(t *testing.T) {
	address, _ := echoing(t, 403)
	cred := &rotating{}
	o := options(t, address)
	o.Credential = cred
	o.Success = func(status int) bool { return status == 403 }
	if out := attemptAt(t, o); out.Kind != Success || len(cred.refused) != 0 {
		t.Errorf("%+v, told %q", out, cred.refused)
	}
}

// Without a credential no request is made. Nobody is charged, and the error shows no secret.
func TestCredentialFaults(t *testing.T) {
	address, got := echoing(t, 200)
	f := func(cred *rotating, want Kind, text string) {
		t.Helper()
		cred.given = []string{"client-secret"}
		o := options(t, address)
		if o.Credential = cred; cred.wait {
			o.Timeout = 50 * time.Millisecond
		}
		out := attemptAt(t, o)
		if out.Kind != want || want.Made() || !strings.Contains(out.Error, text) ||
			strings.Contains(out.Error, "client-") || out.Status != 0 || out.Remote != "" {
			t.Errorf("%+v; want %v, %q", out, want, text)
		}
	}
	f(&rotating{err: errors.New("the server says no to client-secret")}, Auth,
		"cannot get the credential: the server says no to <redacted>")
	f(&rotating{err: errors.New(strings.Repeat("x", 220) + "client-secret client-secret")}, Auth, "xx")
	f(&rotating{err: os.ErrDeadlineExceeded}, Auth, "cannot get the credential: ")
	f(&rotating{err: fmt.Errorf("cannot dial: %w", syscall.EMFILE)}, Withheld, "descriptor")
	f(&rotating{wait: true}, Auth, "cannot get the credential: context deadline exceeded")
	// The relay stops.
	ctx, cancel := context.WithCancel(context.Background())
	o := options(t, address)
	o.Credential = &stopping{cancel}
	if out := newTestClient(t, o).Do(ctx, request()); out.Kind != Aborted {
		t.Errorf("%+v; want aborted", out)
	}
	// What would break out of its line.
	o.Credential = &fixed{value: "Bearer a\r\nX-Evil: 1"}
	if out := attemptAt(t, o); out.Kind != Auth {
		t.Errorf("%+v; want auth", out)
	}
	if len(got()) != 0 {
		t.Errorf("requests were made: %q", got())
	}
}

// stopping is a Credential during whose search the relay stops.
type stopping struct{ stop func() }

func (s *stopping) Authorization(ctx context.Context, _ time.Time) (string, error) {
	s.stop()
	<-ctx.Done()
	return "", ctx.Err()
}

func (*stopping) Refused(string, int) {}

func (*stopping) Secrets() []string { return nil }

// Headers and user-info are credentials as well: the head is what it always was, byte for byte.
func TestFixedCredentials(t *testing.T) {
	f := func(rawURL, want string, headers ...Header) {
		t.Helper()
		o := options(t, rawURL)
		o.Header = headers
		c := newTestClient(t, o)
		value := ""
		if c.credential != nil {
			value, _ = c.credential.Authorization(context.Background(), time.Time{})
		}
		got := string(c.writer.begin(nil, value))
		if want = "POST / HTTP/1.1\r\nHost: crm\r\nUser-Agent: hookspool/test\r\n" + want; got != want {
			t.Errorf("got %q; want %q", got, want)
		}
		preview := string(c.writer.beginPreview(c.credential != nil))
		if strings.Count(preview, "\r\n") != strings.Count(want, "\r\n") ||
			strings.Contains(preview, "secret") {
			t.Errorf("the preview is %q", preview)
		}
	}
	f("http://crm/", "")
	f("http://a:secret@crm/", "Authorization: Basic YTpzZWNyZXQ=\r\nX: secret\r\n", Header{"X", "secret"})
	f("http://crm/", "X: secret\r\nauthorization: Bearer secret\r\nY: b\r\n", Header{"X", "secret"},
		Header{"authorization", "Bearer secret"}, Header{"Y", "b"})
	f("http://a:b@crm/", "Authorization: secret\r\n", Header{"Authorization", "secret"})
	f("http://crm/", "Authorization: secret\r\nAuthorization: secret2\r\n",
		Header{"Authorization", "secret"}, Header{"Authorization", "secret2"})
}

// Two things that would both set the field are a fault of whoever configures them.
func TestCredentialTwice(t *testing.T) {
	o := options(t, "http://crm/")
	o.Credential = &rotating{}
	o.URL.User = url.User("me")
	if _, err := NewClient(o); err == nil {
		t.Error("user-info beside a credential is taken")
	}
	o.URL.User, o.Header = nil, []Header{{"authorization", "x"}}
	if _, err := NewClient(o); err == nil {
		t.Error("a header beside a credential is taken")
	}
}
