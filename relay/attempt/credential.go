package attempt

import (
	"context"
	"encoding/base64"
	"errors"
	"net/url"
	"strings"
	"time"
)

// Credential gives requests their Authorization. It is asked for each attempt, by many at once.
type Credential interface {
	// Authorization returns the value of the field, for an attempt that has to be over by deadline;
	// empty: none is sent. The time that it takes is the attempt's. It ends when ctx does. Without a
	// value no request is made: the Outcome is Auth, or Withheld if the error is a want of this
	// machine's.
	Authorization(ctx context.Context, deadline time.Time) (value string, err error)
	// Refused is told that the target did not accept a request with value, and answered it 401 or
	// 403.
	Refused(value string, status int)
	// Secrets are what it gave, and what it is made of, as far as a target or an error may repeat it.
	// The slice is the same one until something changes, and nobody writes to it.
	Secrets() []string
}

// fixed is a Credential that never changes.
type fixed struct {
	value   string
	secrets []string
}

// Authorization is part of Credential.
func (f *fixed) Authorization(context.Context, time.Time) (string, error) { return f.value, nil }

// Refused is part of Credential. There is no other value to be had.
func (f *fixed) Refused(string, int) {}

// Secrets is part of Credential.
func (f *fixed) Secrets() []string { return f.secrets }

// ofHeader is the Credential of a configured header.
func ofHeader(value string) *fixed { return &fixed{value, secretsOfHeader(value)} }

// ofUser is the Credential of a URL's user-info (RFC 7617).
func ofUser(user *url.Userinfo) *fixed {
	return &fixed{"Basic " + basicAuth(user), secretsOfUser(user)}
}

// secretsOfHeader are a header's value and its last word: "Bearer token" may come back without its
// scheme.
func secretsOfHeader(value string) []string {
	if i := strings.LastIndexByte(value, ' '); i >= 0 {
		return []string{value, value[i+1:]}
	}
	return []string{value}
}

// secretsOfUser are the parts in which user-info is sent.
func secretsOfUser(user *url.Userinfo) []string {
	password, _ := user.Password()
	return []string{password, user.Username(), basicAuth(user)}
}

// basicAuth encodes user-info.
func basicAuth(user *url.Userinfo) string {
	password, _ := user.Password()
	return base64.StdEncoding.EncodeToString([]byte(user.Username() + ":" + password))
}

// credentialOf is what gives the requests of a target their Authorization; nil: nothing does.
func credentialOf(o Options) (Credential, error) {
	header := -1
	for i := range o.Header {
		if equalFold(o.Header[i].Name, "authorization") {
			header = i
			break
		}
	}
	switch {
	case o.Credential != nil && (header >= 0 || o.URL.User != nil):
		return nil, errors.New("cannot use a credential beside an Authorization header or user-info")
	case o.Credential != nil:
		return o.Credential, nil
	case header >= 0:
		return ofHeader(o.Header[header].Value), nil
	case o.URL.User != nil:
		return ofUser(o.URL.User), nil
	}
	return nil, nil
}

// authorize asks for the call's Authorization. A value that would break out of its line is none.
func (c *Client) authorize(ctx context.Context, x *call) *fault {
	if c.credential == nil {
		return nil
	}
	value, err := c.credential.Authorization(ctx, x.deadline)
	if err == nil && hasControl(value) {
		err = errors.New("it holds a control character")
	}
	if x.from = time.Now(); err == nil && !x.from.Before(x.deadline) {
		err = errors.New("it came too late for this attempt")
	}
	if err != nil {
		return &fault{Auth, "get the credential", err}
	}
	x.authorization = value
	return nil
}
