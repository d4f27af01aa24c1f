// Package alert writes what an operator hears of a target that became Defective or has recovered,
// and the warnings before it comes to that, and sends it: as a mail (Mailer) or to a URL (Poster).
//
// The package only sends. Which mail is owed, and that it stays owed until a server took it, is
// decided and spooled elsewhere: a Notice is what lies in the spool in the meantime. Every failure
// is alike to the caller, who tries again at the next tick. When the server's last word is lost,
// the same mail is sent twice with the same Message-ID, by which mail systems know a repeat, and
// the same post with the same webhook-id.
package alert

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"
)

// The words of Options.TLS.
const (
	// TLSStart upgrades the connection with STARTTLS (RFC 3207). A server that does not offer it
	// gets no mail: an upgrade that is skipped when missing protects from nobody.
	TLSStart = "starttls"
	// TLSImplicit speaks TLS from the first byte (RFC 8314, port 465).
	TLSImplicit = "tls"
	// TLSNone never encrypts, for a mail server on the same host or in the same private network.
	TLSNone = "none"
)

const (
	timeoutDefault = 30 * time.Second
	// quitTimeout bounds the farewell. The mail is taken or refused by then, so that a server
	// slow to say goodbye must not cost the conversation's whole time.
	quitTimeout = 2 * time.Second
	// errorRunesMax bounds the text of an error, most of which a server writes.
	errorRunesMax = 500
)

// Options says where mail goes and how.
type Options struct {
	// SMTP is the server as host:port.
	SMTP string
	// TLS is one of TLSStart, TLSImplicit, TLSNone. Empty means TLSStart.
	TLS string
	// Username and Password log in, when Username is set, with the first mechanism that the
	// server offers of PLAIN, LOGIN, CRAM-MD5. With TLSNone CRAM-MD5 comes first, yet PLAIN and
	// LOGIN are used when there is nothing better: who writes tls = "none" beside a password has
	// chosen that the password travels in the clear.
	Username, Password string
	// From is the sender, "a@b.c" or "Name <a@b.c>".
	From string
	// To lists the recipients, at least one. The mail goes to all of them or to none.
	To []string
	// RootCAs verifies the server's certificate. Nil means the system's.
	RootCAs *x509.CertPool
	// Timeout bounds the whole conversation from the dial on. Zero means 30 seconds.
	Timeout time.Duration
}

// Mailer sends notices through one SMTP server. It keeps no connection between two mails and is
// safe for concurrent use.
type Mailer struct {
	options Options
	host    string
	port    int
	from    *netmail.Address
	to      []*netmail.Address
}

// NewMailer checks the options and returns a Mailer. It connects to nothing.
func NewMailer(options Options) (*Mailer, error) {
	m := &Mailer{options: options}
	if m.options.TLS == "" {
		m.options.TLS = TLSStart
	}
	if m.options.Timeout <= 0 {
		m.options.Timeout = timeoutDefault
	}
	switch m.options.TLS {
	case TLSStart, TLSImplicit, TLSNone:
	default:
		return nil, fmt.Errorf("cannot send mail with tls %q: want %s, %s or %s",
			options.TLS, TLSStart, TLSImplicit, TLSNone)
	}
	if options.Username == "" && options.Password != "" {
		return nil, errors.New("cannot log in with a password and no username")
	}
	if err := m.parseServer(options.SMTP); err != nil {
		return nil, err
	}
	if err := m.parseAddresses(); err != nil {
		return nil, err
	}
	return m, nil
}

func (m *Mailer) parseServer(server string) error {
	host, portText, err := net.SplitHostPort(server)
	if err != nil {
		return fmt.Errorf("cannot use mail server %q: %w", server, err)
	}
	if host == "" {
		return fmt.Errorf("cannot use mail server %q: no host", server)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil || port == 0 {
		return fmt.Errorf("cannot use mail server %q: port %q is not 1…65535", server, portText)
	}
	m.host, m.port = host, int(port)
	return nil
}

func (m *Mailer) parseAddresses() error {
	var err error
	if m.from, err = netmail.ParseAddress(m.options.From); err != nil {
		return fmt.Errorf("cannot send mail from %q: %w", m.options.From, err)
	}
	if len(m.options.To) == 0 {
		return errors.New("cannot send mail: no recipient")
	}
	for _, text := range m.options.To {
		to, err := netmail.ParseAddress(text)
		if err != nil {
			return fmt.Errorf("cannot send mail to %q: %w", text, err)
		}
		m.to = append(m.to, to)
	}
	return nil
}

// Send writes the mail of a notice and returns nil once the server took it for every recipient. One
// refused recipient is an error and nobody gets the mail: to send it to the others and report the
// failure would send it to them again at every tick. Send blocks until the conversation ended, at
// most Options.Timeout or until ctx is done. Its errors never show the password.
func (m *Mailer) Send(ctx context.Context, notice Notice) error {
	cause := fmt.Errorf("conversation not over within %s: %w",
		m.options.Timeout, context.DeadlineExceeded)
	ctx, cancel := context.WithTimeoutCause(ctx, m.options.Timeout, cause)
	defer cancel()
	err := m.converse(ctx, m.write(notice))
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		// What failed first is our own closing of the connection, which says nothing.
		err = context.Cause(ctx)
	}
	return fmt.Errorf("cannot send alert %s through %q: %w", notice.about(), m.options.SMTP,
		m.scrub(err))
}

// write makes the mail of a notice. The same notice always makes the same mail, date included.
func (m *Mailer) write(notice Notice) *mail.Msg {
	msg := mail.NewMsg(mail.WithNoDefaultUserAgent())
	msg.FromMailAddress(m.from)
	msg.ToMailAddress(m.to...)
	msg.Subject(notice.subject())
	msg.SetMessageIDWithValue(notice.messageID() + "@" + m.domain())
	if !notice.At.IsZero() {
		msg.SetDateWithValue(notice.At)
	}
	// RFC 3834: nobody's holiday responder shall answer a machine.
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetBodyString(mail.TypeTextPlain, notice.body())
	return msg
}

// domain is the right side of the Message-ID: the sender's own, as RFC 5322 §3.6.4 recommends.
func (m *Mailer) domain() string {
	_, domain, _ := strings.Cut(m.from.Address, "@")
	for _, r := range domain {
		if r <= ' ' || r > '~' {
			return "hookspool.invalid"
		}
	}
	return domain
}

// converse holds one SMTP conversation. Two habits of the client are undone here: it never closes
// the connection of a dial that failed later on, and it reports a mail that was taken as failed
// when the server then hangs up, which would send that mail again.
func (m *Mailer) converse(ctx context.Context, msg *mail.Msg) error {
	link := &link{mailer: m, ctx: ctx}
	defer link.close()
	client, err := mail.NewClient(m.host, m.clientOptions(link)...)
	if err != nil {
		return err
	}
	session, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return err
	}
	err = client.SendWithSMTPClient(session, msg)
	if msg.IsDelivered() {
		err = nil
	}
	link.hurry()
	_ = session.Quit() // A courtesy: the mail's fate is settled whatever the server says to it.
	return err
}

func (m *Mailer) clientOptions(link *link) []mail.Option {
	// STARTTLS is the client's part; TLS from the first byte is the dialler's, so that the client
	// must not start it again.
	policy := mail.NoTLS
	if m.options.TLS == TLSStart {
		policy = mail.TLSMandatory
	}
	options := []mail.Option{
		mail.WithPort(m.port),
		// The link is closed when the time is over. The client's own deadline is renewed by it
		// in mid-conversation, so that it bounds nothing; it only must not come first.
		mail.WithTimeout(m.options.Timeout + time.Minute),
		mail.WithTLSPolicy(policy),
		mail.WithTLSConfig(m.tlsConfig()),
		mail.WithDialContextFunc(link.dial),
		// One mail a conversation: nothing to probe before it and nothing to reset after it.
		mail.WithoutNoop(),
		mail.WithoutRset(),
	}
	if m.options.Username != "" {
		options = append(options, mail.WithSMTPAuthCustom(&login{mailer: m}))
	}
	return options
}

func (m *Mailer) tlsConfig() *tls.Config {
	roots := m.options.RootCAs
	if roots == nil {
		// crypto/x509 reads the system's once in the life of a process, and a want of descriptors in
		// that moment would stop all mail until the next start. This reads them again if need be;
		// with an error the handshake says why.
		roots, _ = x509.SystemCertPool()
	}
	return &tls.Config{
		ServerName: m.host,
		RootCAs:    roots,
		MinVersion: tls.VersionTLS12,
	}
}

// scrub takes the password, and what a server may echo of it, out of an error, and makes one line
// of it. The chain of causes is given up only when the text had to change.
func (m *Mailer) scrub(err error) error {
	text := err.Error()
	if password := m.options.Password; password != "" {
		plain := "\x00" + m.options.Username + "\x00" + password
		for _, secret := range []string{
			base64.StdEncoding.EncodeToString([]byte(plain)),
			base64.StdEncoding.EncodeToString([]byte(password)),
			password,
		} {
			text = strings.ReplaceAll(text, secret, "***")
		}
	}
	if text = oneLine(text, errorRunesMax); text == err.Error() {
		return err
	}
	return errors.New(text)
}

// link is the connection of one conversation, closed as soon as the context is done: the client
// renews its own deadlines command by command and would let a slow server talk for ever.
type link struct {
	mailer *Mailer
	ctx    context.Context // of the conversation, which is the whole life of a link
	conn   net.Conn
	stop   func() bool
}

func (l *link) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	// The address that the client made lacks the brackets of an IPv6 one.
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, l.mailer.options.SMTP)
	if err != nil {
		return nil, err
	}
	l.conn = conn
	l.stop = context.AfterFunc(l.ctx, func() { _ = conn.Close() })
	if l.mailer.options.TLS != TLSImplicit {
		return conn, nil
	}
	secure := tls.Client(conn, l.mailer.tlsConfig())
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return secure, nil
}

// hurry leaves the conversation quitTimeout to end.
func (l *link) hurry() {
	_ = l.conn.SetDeadline(time.Now().Add(quitTimeout))
}

func (l *link) close() {
	if l.conn == nil {
		return
	}
	l.stop()
	_ = l.conn.Close() // Closed before, most of the time; nothing is lost by an error here.
}

// login chooses the mechanism once the server has said what it offers.
type login struct {
	mailer *Mailer
	smtp.Auth
}

// Start implements smtp.Auth.
func (l *login) Start(server *smtp.ServerInfo) (string, []byte, error) {
	options := &l.mailer.options
	// The mechanisms themselves refuse to send a password in the clear unless bare is set.
	bare := options.TLS == TLSNone
	plain := smtp.PlainAuth("", options.Username, options.Password, l.mailer.host, bare)
	loginAuth := smtp.LoginAuth(options.Username, options.Password, l.mailer.host, bare)
	cram := smtp.CRAMMD5Auth(options.Username, options.Password)
	// Behind TLS the plain mechanisms come first: some servers offer CRAM-MD5 without being able
	// to verify it, because they keep only hashes.
	order := []offer{{"PLAIN", plain}, {"LOGIN", loginAuth}, {"CRAM-MD5", cram}}
	if bare {
		order = []offer{{"CRAM-MD5", cram}, {"PLAIN", plain}, {"LOGIN", loginAuth}}
	}
	for _, o := range order {
		for _, name := range server.Auth {
			if strings.EqualFold(name, o.name) {
				l.Auth = o.auth
				return o.auth.Start(server)
			}
		}
	}
	return "", nil, fmt.Errorf("cannot log in as %q: the server offers %q, want one of "+
		"PLAIN, LOGIN, CRAM-MD5", options.Username, server.Auth)
}

// offer is a mechanism under the name that servers advertise.
type offer struct {
	name string
	auth smtp.Auth
}
