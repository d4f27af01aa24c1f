package attempt

import (
	"bytes"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// A target that answers with parts of what it was sent: whole, decoded, in JSON, cut at the end.
func TestRedactEchoes(t *testing.T) {
	u, err := url.Parse("http://user-name:p%22ss%26word@crm/?token=a%2Fsecret%26more&just-a-token&n=1")
	if err != nil {
		t.Fatal(err)
	}
	s := newSecrets(Options{URL: u, Header: []Header{{"Authorization", "Bearer the-bearer-token"},
		{"X-Key", `a"key\value`}, {"X-Flag", "true"}}}, nil)
	f := func(text, want string) {
		t.Helper()
		if got := string(s.redact([]byte(text), "")); got != want {
			t.Errorf("redact(%q) = %q, want %q", text, got, want)
		}
	}
	f("nothing of it, true, n=1", "nothing of it, true, n=1")
	f("Bearer the-bearer-token.", "<redacted>.")
	f("got the-bearer-token.", "got <redacted>.")
	f("user-name has p\"ss&word.", "<redacted> has <redacted>.")
	f(`{"password":"p\"ss\u0026word"}`, `{"password":"<redacted>"}`)
	f(`{"key":"a\"key\\value"}`, `{"key":"<redacted>"}`)
	f("token: a/secret&more.", "token: <redacted>.")
	f("token: a%2Fsecret%26more.", "token: <redacted>.")
	f("?token=a%2Fsecret%26more&just-a-token&n=1 HTTP", "?<redacted> HTTP")
	f("just-a-token!", "<redacted>!")
	f("cut: the-bearer", "cut: ")
	f(http.CanonicalHeaderKey("dXNlci1uYW1l"), "Dxnlci1uyw1l")
}

// FuzzRedact hides any two secrets in any text: neither is left, and nothing else than what hides
// them is new.
func FuzzRedact(f *testing.F) {
	f.Add("secret-one", "secret-two", "a secret-one b secret-two secret-on")
	f.Add("aaaaaaaa", "aaaaaaaaaa", "aaaaaaaaaaaaaaaaaaaaaaaaaa")
	f.Add("password", "pass&\"word", `{"a":"pass\u0026\"word"}`)
	f.Add("12345678", "", "1234567812345678123456")
	f.Fuzz(func(t *testing.T, one, two, text string) {
		s := newSecrets(Options{URL: &url.URL{User: url.UserPassword(two, one)},
			Header: []Header{{"X", two}}}, nil)
		for _, secret := range s.forms("") {
			// What hides a secret may, with its surroundings, spell another.
			if strings.ContainsAny(string(secret), redacted) {
				return
			}
		}
		got := s.redact([]byte(text), "")
		for _, secret := range s.forms("") {
			if bytes.Contains(got, secret) {
				t.Fatalf("%q is left in %q", secret, got)
			}
		}
		rest := text
		for part := range strings.SplitSeq(string(got), redacted) {
			at := strings.Index(rest, part)
			if at < 0 {
				t.Fatalf("%q is not of %q", part, text)
			}
			rest = rest[at+len(part):]
		}
	})
}
