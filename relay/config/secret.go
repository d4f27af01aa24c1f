package config

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strconv"
)

const redacted = "<redacted>"

// Secret is a string that prints as "<redacted>" everywhere: fmt with any verb, slog, JSON and
// text. An empty one prints as "". The idiom is Prometheus' own.
type Secret string

// Reveal returns the secret itself. Call it where it is used and nowhere else.
func (s Secret) Reveal() string { return string(s) }

// String returns "<redacted>", or "" for an empty secret.
func (s Secret) String() string { return redact(len(s)) }

// GoString is String in quotes.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// Format prints the same whatever the verb: without it, %d would print the secret in its complaint.
func (s Secret) Format(state fmt.State, verb rune) { formatRedacted(state, verb, s.String()) }

// MarshalText returns String; encoding/json uses it as well.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue is String for slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// SecretBytes is a Secret of raw bytes. It is assignable to []byte, which is the way to use it.
type SecretBytes []byte

// String returns "<redacted>", or "" when there are no bytes.
func (b SecretBytes) String() string { return redact(len(b)) }

// GoString is String in quotes.
func (b SecretBytes) GoString() string { return strconv.Quote(b.String()) }

// Format prints the same whatever the verb.
func (b SecretBytes) Format(state fmt.State, verb rune) { formatRedacted(state, verb, b.String()) }

// MarshalText returns String; encoding/json uses it as well.
func (b SecretBytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// LogValue is String for slog.
func (b SecretBytes) LogValue() slog.Value { return slog.StringValue(b.String()) }

func redact(length int) string {
	if length == 0 {
		return ""
	}
	return redacted
}

func formatRedacted(state fmt.State, verb rune, text string) {
	if verb == 'q' || state.Flag('#') {
		text = strconv.Quote(text)
	}
	// fmt.State reports failures of its writer to the caller of Fprintf itself.
	_, _ = io.WriteString(state, text)
}

// MaskURL returns scheme://host[:port]/path: without user-info and fragment, and with "?…" in place
// of a query. The path is kept: it tells an operator which target it is. nil gives "".
func MaskURL(u *url.URL) string {
	if u == nil {
		return ""
	}
	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	if u.RawQuery != "" {
		return shown.String() + "?…"
	}
	return shown.String()
}

// MaskPath returns scheme://host[:port]/…: of a URL whose path is its password, as with those who
// take alerts. nil gives "".
func MaskPath(u *url.URL) string {
	if u == nil {
		return ""
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host}).String() + "/…"
}

// String returns the masked URL, for logs and for people.
func (w Webhook) String() string { return MaskPath(w.URL) }

// GoString is String: without it %#v would walk into the URL.
func (w Webhook) GoString() string { return w.String() }

// LogValue is String for slog.
func (w Webhook) LogValue() slog.Value { return slog.StringValue(w.String()) }

// MarshalJSON shows every field, the URL masked and the secrets redacted.
func (w Webhook) MarshalJSON() ([]byte, error) {
	type fields Webhook // without methods, or this would call itself
	return json.Marshal(struct {
		fields
		URL string
	}{fields(w), MaskPath(w.URL)})
}

// String is "env", or the masked URL; empty: there is none.
func (p Proxy) String() string {
	if p.Env {
		return proxyEnv
	}
	return MaskURL(p.URL)
}

// GoString is String: without it %#v would walk into the URL.
func (p Proxy) GoString() string { return p.String() }

// LogValue is String for slog.
func (p Proxy) LogValue() slog.Value { return slog.StringValue(p.String()) }

// MarshalJSON shows String. It is no MarshalText: relays that share a spool compare what is masked.
func (p Proxy) MarshalJSON() ([]byte, error) { return json.Marshal(p.String()) }

// String returns the masked URL, for logs and for people.
func (o OAuth2) String() string { return MaskURL(o.TokenURL) }

// GoString is String: without it %#v would walk into the URL.
func (o OAuth2) GoString() string { return o.String() }

// LogValue is String for slog.
func (o OAuth2) LogValue() slog.Value { return slog.StringValue(o.String()) }

// MarshalJSON shows every field, the URL masked and the secrets redacted.
func (o OAuth2) MarshalJSON() ([]byte, error) {
	type fields OAuth2 // without methods, or this would call itself
	return json.Marshal(struct {
		fields
		TokenURL string
	}{fields(o), MaskURL(o.TokenURL)})
}

// String returns name, masked URL and status, for logs and for people.
func (t Target) String() string {
	return fmt.Sprintf("%s %s (%s)", t.Name, MaskURL(t.URL), t.Status)
}

// GoString is String: without it %#v would walk into the URL.
func (t Target) GoString() string { return t.String() }

// LogValue is a group of name, masked URL and status for slog.
func (t Target) LogValue() slog.Value {
	return slog.GroupValue(slog.String("name", t.Name), slog.String("url", MaskURL(t.URL)),
		slog.String("status", t.Status.String()))
}

// MarshalJSON shows every field, the URL masked and the secrets redacted.
func (t Target) MarshalJSON() ([]byte, error) {
	type fields Target // without methods, or this would call itself
	return json.Marshal(struct {
		fields
		URL string
	}{fields(t), MaskURL(t.URL)})
}
