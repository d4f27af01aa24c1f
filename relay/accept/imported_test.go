package accept

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hookspool/hookspool/spool/care"
)

// What POST would refuse, or no config could name, an import refuses.
func TestParseImported(t *testing.T) {
	f := func(want string, change func(x *care.Exported)) {
		t.Helper()
		x := care.Exported{ID: "a", Type: "message", AcceptedAt: time.Now(), Payload: new(string),
			Headers: []care.ExportedHeader{},
			Targets: []care.ExportedTarget{{Name: "crm", State: "pending"}}}
		change(&x)
		line, err := json.Marshal(x)
		if err != nil {
			t.Fatal(err)
		}
		_, err = ParseImported(line)
		if got := fmt.Sprint(err); want == "" && err != nil || !strings.Contains(got, want) {
			t.Errorf("%s: %s; want %q", line, got, want)
		}
	}
	header := func(name, value string) func(*care.Exported) {
		return func(x *care.Exported) {
			x.Headers = []care.ExportedHeader{{Name: care.Text(name), Value: care.Text(value)}}
		}
	}
	target := func(name string) func(*care.Exported) {
		return func(x *care.Exported) { x.Targets[0].Name = name }
	}
	f("", func(*care.Exported) {})
	f("", header("traceparent", "00-1-2-03"))
	f("", header("ce-a", "b\tc"))
	for _, ours := range []string{"webhook-id", "Webhook-Signature", "webhook-timestamp",
		"webhook-attempt", "webhook-event-type", "webhook-session", "webhook-replay",
		"webhook-sample", "Content-Length", "Transfer-Encoding", "Connection", "Expect", "TE"} {
		f("hookspool sets it", header(ours, "x"))
	}
	for _, theirs := range []string{"Host", "host", "Authorization", "Proxy-Authorization", "Cookie",
		"User-Agent", "Content-Type"} {
		f("only a target's config sets it", header(theirs, "x"))
	}
	for _, name := range []string{"a b", "", "a:b", "ä", "a\r\nb"} {
		f("cannot be sent", header(name, "x"))
	}
	f("cannot be sent", header("a", "b\r\nc: d"))
	for _, name := range []string{"", "a/b", "..", ".", "<img>", strings.Repeat("x", 65),
		strings.Repeat("x", 256), "a\u202eb", "a b", "ä", "a.b", "a%2fb"} {
		f("target", target(name))
	}
	f("", target(strings.Repeat("x", 64)))
	f("target", func(x *care.Exported) { // a delivered one as well
		x.Targets = append(x.Targets, care.ExportedTarget{Name: "a/b", State: "delivered"})
	})
	for _, id := range []string{"", "a b", "a.b", "a\nb", strings.Repeat("x", 257), "a\u0085b"} {
		f("id", func(x *care.Exported) { x.ID = id })
	}
	for _, typ := range []string{"a\nb", strings.Repeat("x", 257), "a\u0085b"} {
		f("type", func(x *care.Exported) { x.Type = typ })
	}
	f("", func(x *care.Exported) { x.Type = "" })
	f("content type", func(x *care.Exported) { x.ContentType = "a\nb" })
}
