package alert

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/mail"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

const (
	testUser     = "relay@store.example"
	testPassword = "correct horse battery"
)

// mailServer is a real SMTP server in this process, with the faults a test asks for.
type mailServer struct {
	addr  string
	roots *x509.CertPool

	mechanisms []string                // offered logins; none: no login wanted
	refuseRcpt func(to string) error   // nil: all are taken
	refuseData func() error            // nil: all is taken
	authError  func(text string) error // what a bad login is told
	hang       chan struct{}           // when set, DATA waits until it is closed

	mu    sync.Mutex // guards mails
	mails []received
}

type received struct {
	from string
	to   []string
	tls  bool
	user string
	head mail.Header
	body string
}

// startServer serves one of the TLS modes on port 0 until the test ends.
func startServer(t *testing.T, mode string, s *mailServer) *mailServer {
	t.Helper()
	cert, roots := newCertificate(t)
	s.roots = roots
	server := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return &session{server: s, conn: c}, nil
	}))
	server.Domain = "mail.example"
	server.AllowInsecureAuth = true
	server.MaxLineLength = 1000
	server.ErrorLog = log.New(io.Discard, "", 0)
	config := &tls.Config{Certificates: []tls.Certificate{cert}}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = ln.Addr().String()
	switch mode {
	case TLSStart:
		server.TLSConfig = config
	case TLSImplicit:
		ln = tls.NewListener(ln, config)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(ln)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return s
}

func (s *mailServer) taken() []received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mails)
}

type session struct {
	server *mailServer
	conn   *smtp.Conn
	mail   received
}

func (s *session) Reset()        { s.mail = received{user: s.mail.user} }
func (s *session) Logout() error { return nil }

func (s *session) AuthMechanisms() []string { return s.server.mechanisms }

func (s *session) Auth(mechanism string) (sasl.Server, error) {
	check := func(user, password string) error {
		if user != testUser || password != testPassword {
			if s.server.authError != nil {
				return s.server.authError(password)
			}
			return smtp.ErrAuthFailed
		}
		s.mail.user = user
		return nil
	}
	switch mechanism {
	case "PLAIN":
		return sasl.NewPlainServer(func(_, user, password string) error {
			return check(user, password)
		}), nil
	case "LOGIN":
		return &loginServer{check: check}, nil
	case "CRAM-MD5":
		return &cramServer{check: check}, nil
	}
	return nil, smtp.ErrAuthUnknownMechanism
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if len(s.server.mechanisms) > 0 && s.mail.user == "" {
		return smtp.ErrAuthRequired
	}
	s.mail.from = from
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if s.server.refuseRcpt != nil {
		if err := s.server.refuseRcpt(to); err != nil {
			return err
		}
	}
	s.mail.to = append(s.mail.to, to)
	return nil
}

func (s *session) Data(r io.Reader) error {
	if s.server.hang != nil {
		<-s.server.hang
	}
	if s.server.refuseData != nil {
		if err := s.server.refuseData(); err != nil {
			return err
		}
	}
	msg, err := mail.ReadMessage(r)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(msg.Body)
	if err != nil {
		return err
	}
	_, s.mail.tls = s.conn.TLSConnectionState()
	s.mail.head, s.mail.body = msg.Header, string(body)
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	s.server.mails = append(s.server.mails, s.mail)
	return nil
}

// loginServer and cramServer are the server's side of the mechanisms that go-sasl lacks.
type loginServer struct {
	check func(user, password string) error
	user  *string
	asked bool
}

func (l *loginServer) Next(response []byte) ([]byte, bool, error) {
	switch {
	case !l.asked:
		l.asked = true
		return []byte("Username:"), false, nil
	case l.user == nil:
		user := string(response)
		l.user = &user
		return []byte("Password:"), false, nil
	}
	return nil, true, l.check(*l.user, string(response))
}

type cramServer struct {
	check func(user, password string) error
	asked bool
}

func (c *cramServer) Next(response []byte) ([]byte, bool, error) {
	const challenge = "<1896.697170952@mail.example>"
	if !c.asked {
		c.asked = true
		return []byte(challenge), false, nil
	}
	sum := hmac.New(md5.New, []byte(testPassword))
	sum.Write([]byte(challenge))
	user, digest, _ := strings.Cut(string(response), " ")
	if digest != fmt.Sprintf("%x", sum.Sum(nil)) {
		return nil, true, c.check(user, "")
	}
	return nil, true, c.check(user, testPassword)
}

// newCertificate makes a throw-away authority and a certificate of it for 127.0.0.1.
func newCertificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

// startScript serves one connection that answers the client's lines with the replies, in order,
// the first being the greeting, and then hangs up. It returns the address.
func startScript(t *testing.T, replies ...string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1) // The one result of the one goroutine below.
	go func() {
		done <- playScript(ln, replies)
	}()
	t.Cleanup(func() {
		_ = ln.Close()
		if err := <-done; err != nil && !errors.Is(err, net.ErrClosed) {
			t.Errorf("scripted mail server: %s", err)
		}
	})
	return ln.Addr().String()
}

func playScript(ln net.Listener, replies []string) error {
	conn, err := ln.Accept()
	if err != nil {
		return err
	}
	defer conn.Close()
	lines := bufio.NewScanner(conn)
	for i, reply := range replies {
		if i > 0 && !lines.Scan() {
			return lines.Err()
		}
		// The mail itself is answered once, after the line that ends it.
		for reply == "250 taken" && lines.Text() != "." {
			if !lines.Scan() {
				return lines.Err()
			}
		}
		if _, err := io.WriteString(conn, reply+"\r\n"); err != nil {
			return err
		}
	}
	return nil
}
