package alert

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/hookspool/hookspool/testenv/port"
)

func testOptions(s *mailServer, mode string) Options {
	return Options{
		SMTP:    s.addr,
		TLS:     mode,
		From:    "Relay <relay@store.example>",
		To:      []string{"ops@store.example"},
		RootCAs: s.roots,
		Timeout: 10 * time.Second,
	}
}

func mustMailer(t *testing.T, options Options) *Mailer {
	t.Helper()
	m, err := NewMailer(options)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// wantError fails unless err says every one of the parts and nothing of the password.
func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("Send succeeded")
	}
	for _, part := range append(parts, `cannot send alert for target "crm" through "`) {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q lacks %q", err, part)
		}
	}
	if strings.Contains(err.Error(), testPassword) || strings.Contains(err.Error(), "\n") {
		t.Errorf("error shows the password or has several lines: %q", err)
	}
}

func TestNewMailer(t *testing.T) {
	good := Options{SMTP: "mail.example:587", From: "a@b.example", To: []string{"c@d.example"}}
	f := func(change func(*Options), want string) {
		t.Helper()
		options := good
		change(&options)
		m, err := NewMailer(options)
		switch {
		case want == "" && err != nil:
			t.Errorf("NewMailer: %s", err)
		case want != "" && (err == nil || m != nil || !strings.Contains(err.Error(), want)):
			t.Errorf("NewMailer: %v, want %q", err, want)
		}
	}
	f(func(*Options) {}, "")
	// An IPv6 server.
	f(func(o *Options) { o.SMTP = "[::1]:25" }, "")
	// A server without port, without host, with a port out of range or by name.
	f(func(o *Options) { o.SMTP = "mail.example" }, `mail server "mail.example"`)
	f(func(o *Options) { o.SMTP = ":25" }, "no host")
	f(func(o *Options) { o.SMTP = "mail.example:0" }, "port")
	f(func(o *Options) { o.SMTP = "mail.example:70000" }, "port")
	f(func(o *Options) { o.SMTP = "mail.example:smtp" }, "port")
	f(func(o *Options) { o.TLS = "ssl" }, `tls "ssl": want starttls, tls or none`)
	f(func(o *Options) { o.From = "nobody" }, `from "nobody"`)
	f(func(o *Options) { o.To = nil }, "no recipient")
	f(func(o *Options) { o.To = []string{"a@b.example", "x y"} }, `to "x y"`)
	f(func(o *Options) { o.Password = "p" }, "no username")
	// An address is no place for a header of one's own.
	f(func(o *Options) { o.From = "a@b.example\r\nBcc: e@evil.example" }, "cannot send mail from")
}

// Every mode, with and without a login, against a server that does the same.
func TestSendModes(t *testing.T) {
	f := func(mode string, mechanisms ...string) {
		t.Helper()
		s := startServer(t, mode, &mailServer{mechanisms: mechanisms})
		options := testOptions(s, mode)
		if len(mechanisms) > 0 {
			options.Username, options.Password = testUser, testPassword
		}
		if err := mustMailer(t, options).Send(t.Context(), defectNotice()); err != nil {
			t.Errorf("%s %q: %s", mode, mechanisms, err)
			return
		}
		mails := s.taken()
		if len(mails) != 1 {
			t.Fatalf("%s %q: %d mails taken", mode, mechanisms, len(mails))
		}
		if got := mails[0]; got.tls != (mode != TLSNone) || got.user != options.Username ||
			got.from != "relay@store.example" || !slices.Equal(got.to, options.To) {
			t.Errorf("%s %q: taken as %+v", mode, mechanisms, got)
		}
	}
	for _, mode := range []string{TLSStart, TLSImplicit, TLSNone} {
		f(mode)
		f(mode, "PLAIN")
		f(mode, "LOGIN")
		f(mode, "CRAM-MD5")
		f(mode, "XOAUTH2", "LOGIN", "PLAIN")
	}
}

// The mode is a demand: what the server lacks, or cannot prove, is an error and no mail.
func TestSendModeRefused(t *testing.T) {
	f := func(serverMode, mode string, change func(*Options), parts ...string) {
		t.Helper()
		s := startServer(t, serverMode, &mailServer{})
		options := testOptions(s, mode)
		options.Timeout = time.Minute // a refusal is sooner, however slow the machine is
		if change != nil {
			change(&options)
		}
		wantError(t, mustMailer(t, options).Send(t.Context(), defectNotice()), parts...)
		if n := len(s.taken()); n != 0 {
			t.Errorf("%s to %s: %d mails taken", mode, serverMode, n)
		}
	}
	// STARTTLS is wanted and not offered.
	f(TLSNone, TLSStart, nil, "STARTTLS")
	// The default is STARTTLS.
	f(TLSNone, "", nil, "STARTTLS")
	// TLS is spoken to a server that does not.
	f(TLSNone, TLSImplicit, nil)
	// A certificate of an authority that nobody trusts.
	f(TLSStart, TLSStart, func(o *Options) { o.RootCAs = nil }, "certificate")
	f(TLSImplicit, TLSImplicit, func(o *Options) { o.RootCAs = nil }, "certificate")
	// A certificate for another name: this one is for 127.0.0.1 only.
	f(TLSStart, TLSStart, func(o *Options) {
		o.SMTP = strings.Replace(o.SMTP, "127.0.0.1", "localhost", 1)
	}, "certificate", "localhost")
}

func TestSendLoginRefused(t *testing.T) {
	f := func(s *mailServer, mode, password string, parts ...string) {
		t.Helper()
		startServer(t, mode, s)
		options := testOptions(s, mode)
		options.Username, options.Password = testUser, password
		err := mustMailer(t, options).Send(t.Context(), defectNotice())
		wantError(t, err, parts...)
		if strings.Contains(err.Error(), password) {
			t.Errorf("error shows the password: %q", err)
		}
		if n := len(s.taken()); n != 0 {
			t.Errorf("%d mails taken", n)
		}
	}
	// A wrong password, by each mechanism.
	for _, mechanism := range []string{"PLAIN", "LOGIN", "CRAM-MD5"} {
		f(&mailServer{mechanisms: []string{mechanism}}, TLSStart, "wrong-secret", "535")
	}
	// Nothing on offer that we speak, and nothing at all.
	f(&mailServer{mechanisms: []string{"GSSAPI"}}, TLSStart, testPassword, "GSSAPI", "PLAIN")
	f(&mailServer{}, TLSNone, testPassword, "PLAIN, LOGIN, CRAM-MD5")
	// A server that repeats the password, on several lines.
	f(&mailServer{mechanisms: []string{"PLAIN"}, authError: func(text string) error {
		encoded := base64.StdEncoding.EncodeToString([]byte(text))
		return &smtp.SMTPError{Code: 535, Message: "no:\n" + text + "\n" + encoded}
	}}, TLSStart, "wrong-secret", "535", "***")
}

// With tls = "none" a challenge is preferred to a password in the clear.
func TestLoginOrder(t *testing.T) {
	f := func(mode, want string) {
		t.Helper()
		offered := []string{"LOGIN", "PLAIN", "CRAM-MD5"}
		s := startServer(t, mode, &mailServer{mechanisms: offered})
		options := testOptions(s, mode)
		options.Username, options.Password = testUser, "wrong-secret"
		seen := "CRAM-MD5"
		s.authError = func(password string) error {
			if password != "" {
				seen = "PLAIN or LOGIN"
			}
			return smtp.ErrAuthFailed
		}
		wantError(t, mustMailer(t, options).Send(t.Context(), defectNotice()), "535")
		if seen != want {
			t.Errorf("%s: logged in with %s, want %s", mode, seen, want)
		}
	}
	f(TLSNone, "CRAM-MD5")
	f(TLSStart, "PLAIN or LOGIN")
	f(TLSImplicit, "PLAIN or LOGIN")
}

// A greylisting server refuses once, anywhere, and takes the same mail later.
func TestSendGreylisted(t *testing.T) {
	grey := &smtp.SMTPError{
		Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "come back later",
	}
	f := func(s *mailServer) {
		t.Helper()
		startServer(t, TLSStart, s)
		m := mustMailer(t, testOptions(s, TLSStart))
		wantError(t, m.Send(t.Context(), defectNotice()), "451", "come back later")
		if n := len(s.taken()); n != 0 {
			t.Fatalf("%d mails taken at first", n)
		}
		if err := m.Send(t.Context(), defectNotice()); err != nil {
			t.Fatal(err)
		}
		if n := len(s.taken()); n != 1 {
			t.Errorf("%d mails taken in the end", n)
		}
	}
	var calls atomic.Int32
	f(&mailServer{refuseRcpt: func(string) error {
		if calls.Add(1) == 1 {
			return grey
		}
		return nil
	}})
	calls.Store(0)
	f(&mailServer{refuseData: func() error {
		if calls.Add(1) == 1 {
			return grey
		}
		return nil
	}})
}

func TestSendRecipients(t *testing.T) {
	s := startServer(t, TLSStart, &mailServer{})
	options := testOptions(s, TLSStart)
	options.To = []string{"a@store.example", "b@store.example", "c@store.example"}
	m := mustMailer(t, options)
	if err := m.Send(t.Context(), defectNotice()); err != nil {
		t.Fatal(err)
	}
	if mails := s.taken(); len(mails) != 1 || !slices.Equal(mails[0].to, options.To) {
		t.Fatalf("taken: %+v", mails)
	}

	// One of three is refused: an error that names it, and no mail to the others.
	s.refuseRcpt = func(to string) error {
		if to == "b@store.example" {
			return &smtp.SMTPError{Code: 550, Message: "no such mailbox"}
		}
		return nil
	}
	err := m.Send(t.Context(), defectNotice())
	wantError(t, err, "550", "no such mailbox", "b@store.example")
	if n := len(s.taken()); n != 1 {
		t.Errorf("%d mails taken", n)
	}
}

func TestSendServerDown(t *testing.T) {
	addr, err := port.Free()
	if err != nil {
		t.Fatal(err)
	}
	m := mustMailer(t, testOptions(&mailServer{addr: addr}, TLSNone))
	wantError(t, m.Send(t.Context(), defectNotice()), "refused")
}

// A server that stops talking, at any point, holds us no longer than Timeout or ctx.
func TestSendHanging(t *testing.T) {
	f := func(addr, mode string) {
		t.Helper()
		options := testOptions(&mailServer{addr: addr}, mode)
		options.Timeout = 50 * time.Millisecond
		err := mustMailer(t, options).Send(t.Context(), defectNotice())
		wantError(t, err, "conversation not over within 50ms")
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %q is no deadline", err)
		}

		options.Timeout = time.Hour
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		stop := time.AfterFunc(20*time.Millisecond, cancel)
		defer stop.Stop()
		err = mustMailer(t, options).Send(ctx, defectNotice())
		wantError(t, err, "context canceled")
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %q is no cancellation", err)
		}
	}
	// The connection is accepted by the kernel, and nobody ever speaks.
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for _, mode := range []string{TLSStart, TLSImplicit, TLSNone} {
		f(ln.Addr().String(), mode)
	}
	// The mail itself is never answered.
	hang := make(chan struct{})
	s := startServer(t, TLSNone, &mailServer{hang: hang})
	t.Cleanup(func() { close(hang) })
	f(s.addr, TLSNone)
}

// A server that is slow with every single command, so that each of them is in time, is still cut
// off at the end of the whole conversation.
func TestSendDripping(t *testing.T) {
	s := startServer(t, TLSNone, &mailServer{refuseRcpt: func(string) error {
		<-time.After(30 * time.Millisecond)
		return nil
	}})
	options := testOptions(s, TLSNone)
	options.Timeout = 100 * time.Millisecond
	options.To = nil
	for i := range 50 {
		options.To = append(options.To, fmt.Sprintf("ops%d@store.example", i))
	}
	err := mustMailer(t, options).Send(t.Context(), defectNotice())
	wantError(t, err, "conversation not over within 100ms")
	if n := len(s.taken()); n != 0 {
		t.Errorf("%d mails taken", n)
	}
}

// What the server does once it took the mail does not make it fail, which would send it again.
func TestSendTakenThenTrouble(t *testing.T) {
	f := func(last ...string) {
		t.Helper()
		addr := startScript(t, append([]string{
			"220 mail.example", "250 mail.example", "250 sender", "250 recipient",
			"354 go on", "250 taken",
		}, last...)...)
		m := mustMailer(t, testOptions(&mailServer{addr: addr}, TLSNone))
		if err := m.Send(t.Context(), defectNotice()); err != nil {
			t.Errorf("Send: %s", err)
		}
	}
	// It hangs up, it refuses the farewell, it talks nonsense.
	f()
	f("421 closing")
	f("what?")
}

// The server hangs up before it said whether it took the mail: an error, since only it knows.
func TestSendLostAnswer(t *testing.T) {
	addr := startScript(t, "220 mail.example", "250 mail.example", "250 sender",
		"250 recipient", "354 go on")
	m := mustMailer(t, testOptions(&mailServer{addr: addr}, TLSNone))
	wantError(t, m.Send(t.Context(), defectNotice()))
}
