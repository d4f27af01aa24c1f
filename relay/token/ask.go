package token

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

const (
	// answerBytesMax is what is read of an answer.
	answerBytesMax = 64 << 10
	// tokenBytesMax is what a request can carry beside the rest of its head.
	tokenBytesMax = 16 << 10
	// saidBytesMax bounds what an error repeats of an answer.
	saidBytesMax = 120
	// hiddenBytesMin is the length from which a secret is hidden in what the server says.
	hiddenBytesMin = 4
	// hostShownMax is how many bytes of a host name an error shows; a legal name may have 253.
	hostShownMax = 60
)

// failure says in a line why there is no token. It may hold what the server said.
type failure struct {
	text string
	err  error // nil: there is no more to it
}

// Error is part of error.
func (f *failure) Error() string { return f.text }

// Unwrap returns the cause, which tells a want of this machine's.
func (f *failure) Unwrap() error { return f.err }

// asker asks a token endpoint. One at a time may.
type asker struct {
	o       Options
	secrets []string
	// style is how the client is named to the server; zero: nobody knows yet.
	style oauth2.AuthStyle
}

// host is that of the endpoint, for people.
func (a *asker) host() string { return a.o.URL.Host[:min(len(a.o.URL.Host), hostShownMax)] }

// ask gets a token. Servers differ in where they want the client's secret: all have to take it as
// Basic auth (RFC 6749 §2.3.1), and some refuse that. Which way it was is remembered until it is
// refused.
func (a *asker) ask(ctx context.Context) (*oauth2.Token, error) {
	first := a.style
	if first == oauth2.AuthStyleAutoDetect {
		first = oauth2.AuthStyleInHeader
	}
	t, err := a.once(ctx, first)
	if err == nil {
		a.style = first
		return t, nil
	}
	known := a.style != oauth2.AuthStyleAutoDetect
	a.style = oauth2.AuthStyleAutoDetect
	said, refused := errors.AsType[*oauth2.RetrieveError](err)
	if known || !refused || !refusesClient(said) {
		return nil, err
	}
	t, second := a.once(ctx, oauth2.AuthStyleInParams)
	if second == nil {
		a.style = oauth2.AuthStyleInParams
		return t, nil
	}
	if second.Error() != err.Error() {
		return nil, &failure{err.Error() + "; asked with the secret in the body: " +
			strings.TrimPrefix(second.Error(), a.host()+" "), second}
	}
	return nil, err
}

// refusesClient reports an answer to which the client is at fault, or how it was named.
func refusesClient(said *oauth2.RetrieveError) bool {
	status := said.Response.StatusCode
	return status == http.StatusBadRequest || status == http.StatusUnauthorized ||
		status < http.StatusMultipleChoices // an error in an answer of success
}

// once makes one request.
func (a *asker) once(ctx context.Context, style oauth2.AuthStyle) (*oauth2.Token, error) {
	c := clientcredentials.Config{ClientID: a.o.ClientID, ClientSecret: a.o.ClientSecret,
		TokenURL: a.o.URL.String(), Scopes: a.o.Scopes, AuthStyle: style,
		EndpointParams: make(url.Values, len(a.o.Params))}
	for name, value := range a.o.Params {
		c.EndpointParams.Set(name, value)
	}
	heard := &hearing{by: a.o.Client.Transport, secrets: a.secrets}
	client := *a.o.Client
	client.Transport = heard
	t, err := c.Token(context.WithValue(ctx, oauth2.HTTPClient, &client))
	if err != nil {
		return nil, &failure{a.host() + " " + heard.explain(ctx, err), err}
	}
	if why := unfit(t); why != "" {
		return nil, &failure{a.host() + " gave a token " + why, nil}
	}
	return t, nil
}

// unfit says why a token cannot be sent; empty: it can.
func unfit(t *oauth2.Token) string {
	switch {
	case t.TokenType != "" && !strings.EqualFold(t.TokenType, "bearer"):
		return fmt.Sprintf("of type %s, and only Bearer can be sent", quote(t.TokenType))
	case len(t.AccessToken) > tokenBytesMax:
		return fmt.Sprintf("of %d bytes, and the most is %d", len(t.AccessToken), tokenBytesMax)
	case strings.ContainsFunc(t.AccessToken, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "with characters that no token has"
	}
	return ""
}

// hearing is a http.RoundTripper that remembers what the answer was like, and bounds it.
type hearing struct {
	by      http.RoundTripper
	secrets []string
	status  int
	media   string
}

// RoundTrip is part of http.RoundTripper.
func (h *hearing) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := h.by.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	h.status = resp.StatusCode
	h.media, _, _ = mime.ParseMediaType(resp.Header.Get("Content-Type"))
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, answerBytesMax), resp.Body}
	return resp, nil
}

// explain says why a request brought no token, after the name of whom was asked. The library's
// words hold the URL, and whole answers.
func (h *hearing) explain(ctx context.Context, err error) string {
	said, refused := errors.AsType[*oauth2.RetrieveError](err)
	inside, isURL := errors.AsType[*url.Error](err)
	switch {
	case refused:
		return h.answered() + h.explainCode(said)
	case errors.Is(ctx.Err(), context.Canceled):
		return "was not heard: aborted"
	case ctx.Err() != nil, errors.Is(err, os.ErrDeadlineExceeded):
		return "did not answer in time"
	case isURL && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)):
		return "closed the connection"
	case isURL:
		// Those who dial know only of targets.
		return "was not heard: " + strings.ReplaceAll(inside.Err.Error(), "the target", "the server")
	case h.status != 0 && h.media != "":
		return h.answered() + " with " + quote(h.media) + " that is no token"
	case h.status != 0:
		return h.answered() + " with what is no token"
	}
	return "was not heard: " + err.Error()
}

// answered names the status in the standard's words.
func (h *hearing) answered() string {
	text := "answered " + strconv.Itoa(h.status)
	if name := http.StatusText(h.status); name != "" {
		text += " " + name
	}
	if h.status/100 == 3 {
		text += "; redirects are not followed"
	}
	return text
}

// explainCode is what the server said about itself (RFC 6749 §5.2). What it repeats of a secret is
// hidden here, before it is cut.
func (h *hearing) explainCode(said *oauth2.RetrieveError) string {
	code, description := said.ErrorCode, said.ErrorDescription
	for _, secret := range h.secrets {
		if len(secret) >= hiddenBytesMin {
			code = strings.ReplaceAll(code, secret, "<redacted>")
			description = strings.ReplaceAll(description, secret, "<redacted>")
		}
	}
	if code == "" {
		return ""
	}
	text := ": " + quote(code)
	if description != "" {
		text += ", " + quote(description)
	}
	return text
}

// quote shortens what a stranger said. What is not printable is for whoever shows it.
func quote(text string) string { return strconv.Quote(text[:min(len(text), saidBytesMax)]) }
