package jetstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/hookspool/hookspool/spool/engine"
)

// Why a cluster cannot be used, for whoever tells what to do about it. Servers that do not answer
// are engine.ErrUnavailable.
var (
	// ErrCredentials: the servers do not let this user in.
	ErrCredentials = errors.New("the servers refuse this user")
	// ErrTLS: no TLS comes about as it is asked for.
	ErrTLS = errors.New("TLS with the servers fails")
	// ErrPermission: the user may not do what a relay does.
	ErrPermission = errors.New("the servers deny this user something")
	// ErrNoJetStream: the servers, or the account, have no JetStream.
	ErrNoJetStream = errors.New("JetStream is not enabled")
)

// dialer remembers why a server was not reached, which nats.go does not tell.
type dialer struct {
	ctx context.Context
	mu  sync.Mutex // guards last
	// last is why the last dialling failed.
	last error
}

// Dial is that of nats.go.
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	plain := net.Dialer{Timeout: answerMax}
	conn, err := plain.DialContext(d.ctx, network, address)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last = err
	return conn, err
}

// why is an error of nats.Connect in our words.
func (d *dialer) why(err error) error {
	d.mu.Lock()
	last := d.last
	d.mu.Unlock()
	var network net.Error
	var noURL *url.Error
	switch {
	case errors.As(err, &noURL):
		return errors.New("a URL is none") // which would be shown, and its password
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired),
		errors.Is(err, nats.ErrAuthRevoked), errors.Is(err, nats.ErrAccountAuthExpired):
		return fmt.Errorf("%w: %w", ErrCredentials, err)
	case isTLS(err):
		return fmt.Errorf("%w: %w", ErrTLS, err)
	case errors.Is(err, nats.ErrNoServers) && last != nil:
		return fmt.Errorf("%w: %w", engine.ErrUnavailable, last)
	case errors.As(err, &network), errors.Is(err, nats.ErrNoServers), errors.Is(err, nats.ErrTimeout),
		errors.Is(err, io.EOF), errors.Is(err, nats.ErrConnectionClosed),
		errors.Is(err, nats.ErrStaleConnection), errors.Is(err, nats.ErrMaxConnectionsExceeded):
		return fmt.Errorf("%w: %w", engine.ErrUnavailable, err)
	}
	return err
}

// isTLS reports that a server was reached, and TLS failed.
func isTLS(err error) bool {
	var unverified *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	var plain tls.RecordHeaderError
	return errors.Is(err, nats.ErrSecureConnWanted) || errors.Is(err, nats.ErrSecureConnRequired) ||
		errors.As(err, &unverified) || errors.As(err, &unknown) || errors.As(err, &plain) ||
		strings.Contains(err.Error(), "tls: ") // an alert of the server has no type to be known by
}

// connection is how the servers of a cluster are reached.
func (o *Options) connection(d *dialer, denied func(error)) []nats.Option {
	options := []nats.Option{nats.Name("hookspool " + o.Relay), nats.MaxReconnects(-1),
		nats.ReconnectWait(againAfter), nats.ReconnectBufSize(-1), nats.Timeout(answerMax),
		nats.PingInterval(pingEvery), nats.MaxPingsOutstanding(pingsMax), nats.SetCustomDialer(d),
		nats.IgnoreAuthErrorAbort(), // a user may be let in again, and what is spooled waits for that
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if errors.Is(err, nats.ErrPermissionViolation) &&
				!strings.Contains(err.Error(), electedSubject) {
				denied(fmt.Errorf("%w: %w", ErrPermission, err))
				return
			}
			o.Log.Debug("the connection to the spool's servers fails; it is made again", "error", err)
		})}
	if len(o.Credentials) > 0 {
		options = append(options, nats.UserCredentialBytes(o.Credentials))
	}
	if o.TLS != nil {
		options = append(options, nats.Secure(o.TLS))
	}
	return options
}

// connect reaches one of the servers. While none is there it waits, until ctx ends; what does not
// get better by itself is told at once.
func connect(ctx, life context.Context, o *Options, denied func(error)) (*nats.Conn, error) {
	d := &dialer{ctx: life}
	for first := true; ; first = false {
		nc, err := nats.Connect(o.URL, o.connection(d, denied)...)
		if err == nil {
			return nc, nil
		}
		err = d.why(err)
		if errors.Is(err, engine.ErrUnavailable) && first {
			o.Log.Warn("the spool's servers do not answer; the start waits for them", "servers",
				redact(o.URL), "error", err)
		}
		if !errors.Is(err, engine.ErrUnavailable) || !rest(ctx) {
			return nil, fmt.Errorf("cannot use the servers at %s: %w", redact(o.URL), err)
		}
	}
}

// rest waits before another try; false: there is no time left.
func rest(ctx context.Context) bool {
	timer := time.NewTimer(againAfter)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// redact is a list of URLs without user-info: a name alone may be a token.
func redact(urls string) string {
	list := strings.Split(urls, ",")
	for i, one := range list {
		u, err := url.Parse(strings.TrimSpace(one))
		if err != nil {
			list[i] = "(no URL)"
			continue
		}
		u.User = nil
		list[i] = u.String()
	}
	return strconv.Quote(strings.Join(list, ","))
}
