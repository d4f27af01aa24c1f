package testenv

import (
	"io"
	"log"
	"net"
	"net/mail"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/hookspool/hookspool/testenv/port"
)

// Mail is one e-mail that the mailbox took.
type Mail struct {
	From    string
	To      []string
	Subject string
	ID      string // Message-Id
	Text    string // the whole mail, head and body
}

// Mailbox is a real SMTP server that remembers what it took. It speaks no TLS and takes any login.
type Mailbox struct {
	t       testing.TB
	address string

	mu      sync.Mutex // guards below
	server  *smtp.Server
	ln      net.Listener
	mails   []Mail
	tries   int // how often a mail was offered
	refuse  int // that many offers more are answered 451
	hang    chan struct{}
	running sync.WaitGroup
}

// NewMailbox starts a mailbox on a port of its own; it ends with the test.
func NewMailbox(t testing.TB) *Mailbox {
	t.Helper()
	m := &Mailbox{t: t}
	m.serve(port.Listen())
	t.Cleanup(func() {
		m.Unhang()
		m.Down()
		m.running.Wait()
	})
	return m
}

func (m *Mailbox) serve(ln net.Listener, err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatalf("cannot start the mailbox: %v", err)
	}
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		return &mailSession{box: m}, nil
	}))
	server.Domain, server.AllowInsecureAuth = "mail.example", true
	server.ErrorLog = log.New(io.Discard, "", 0)
	m.mu.Lock()
	m.server, m.ln, m.address = server, ln, ln.Addr().String()
	m.mu.Unlock()
	m.running.Add(1)
	go func() { // ends with Down
		defer m.running.Done()
		_ = server.Serve(ln)
	}()
}

// Configure makes it the mail server of a relay.
func (m *Mailbox) Configure(c *Config) *Config {
	return c.Set("alert.email.smtp", m.address).Set("alert.email.tls", "none").
		Set("alert.email.from", "hookspool@relay.example").
		Set("alert.email.to", []string{"oncall@ops.example"})
}

// Down closes the port and all connections, Up opens it again.
func (m *Mailbox) Down() {
	m.mu.Lock()
	server, ln := m.server, m.ln
	m.mu.Unlock()
	_ = server.Close()
	_ = ln.Close() // the server knows its listener only once Serve runs
}

// Up opens the port again after Down.
func (m *Mailbox) Up() {
	m.t.Helper()
	m.serve(net.Listen("tcp", m.address))
}

// Refuse answers the next n offers of a mail with 451: try later.
func (m *Mailbox) Refuse(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refuse = n
}

// Hang lets every offer of a mail wait until Unhang.
func (m *Mailbox) Hang() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hang = make(chan struct{})
}

// Unhang refuses the offers that wait, and takes those that come.
func (m *Mailbox) Unhang() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.hang != nil {
		close(m.hang)
		m.hang = nil
	}
}

// Mails are those that were taken, in order.
func (m *Mailbox) Mails() []Mail {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.mails)
}

// Tries is how often a mail was offered.
func (m *Mailbox) Tries() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.tries
}

// Await waits for n mails in all and returns them.
func (m *Mailbox) Await(n int) []Mail {
	m.t.Helper()
	Until(m.t, Patience, "mails", func() bool { return len(m.Mails()) >= n })
	return m.Mails()
}

// offer decides about one mail; nil: it may come.
func (m *Mailbox) offer() error {
	m.mu.Lock()
	m.tries++
	hang := m.hang
	refuse := m.refuse > 0
	if refuse {
		m.refuse--
	}
	m.mu.Unlock()
	if hang != nil {
		<-hang
		refuse = true
	}
	if refuse {
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 1},
			Message: "greylisted, try again later"}
	}
	return nil
}

// mailSession is one SMTP conversation.
type mailSession struct {
	box  *Mailbox
	mail Mail
}

func (s *mailSession) Reset()        { s.mail = Mail{} }
func (s *mailSession) Logout() error { return nil }

func (s *mailSession) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *mailSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, _, _ string) error { return nil }), nil
}

func (s *mailSession) Mail(from string, _ *smtp.MailOptions) error {
	s.mail.From = from
	return s.box.offer()
}

func (s *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.mail.To = append(s.mail.To, to)
	return nil
}

func (s *mailSession) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.mail.Text = string(text)
	parsed, err := mail.ReadMessage(strings.NewReader(s.mail.Text))
	if err != nil {
		return err
	}
	s.mail.Subject = parsed.Header.Get("Subject")
	s.mail.ID = parsed.Header.Get("Message-Id")
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	s.box.mails = append(s.box.mails, s.mail)
	return nil
}
