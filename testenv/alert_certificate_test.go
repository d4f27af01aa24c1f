package testenv

import (
	"strings"
	"testing"
	"time"

	"github.com/hookspool/hookspool/testenv/effort"
)

// TestAlertCertificate asserts that a certificate with less than 14 days to go is warned of once, also
// across a kill and many handshakes; that the one after it is another; and that one with longer to go
// is none.
func TestAlertCertificate(t *testing.T) {
	effort.OnlyLong(t, "it waits for ticks")
	t.Parallel()
	const day = 24 * time.Hour
	j, box := NewJourney(t), NewMailbox(t)
	box.Configure(j.Config).Set("alert.email.warnings", true)
	hook := postAlerts(j)
	front := NewTLSFront(t, j.RX, time.Now().Add(15*day))
	j.Config.Set("retry.interval", "50ms").
		Target("crm", front.URL("crm"), "ca_file", front.CAFile, "timeout", "30s")
	j.Start()
	shake := func(id string) {
		t.Helper()
		front.Hangup()
		j.Send(Post{ID: id, Body: []byte(`{"eventType":"message"}`)})
		j.Ledger.AwaitDelivered()
		Until(t, Patience, "the answer to pass the front", func() bool {
			return j.Target("crm").Pending == 0
		})
	}
	expiry := func() int {
		return j.Metrics().Get("target_tls_expiry_timestamp_seconds", "target", "crm")
	}
	shake("long")
	first := time.Now().Add(13 * day).Truncate(time.Second)
	front.Renew(first)
	shake("short")
	if got := expiry(); int64(got) != first.Unix() {
		t.Fatalf("the certificate expires at %d, want %d", got, first.Unix())
	}
	mails := box.Await(1)
	Until(t, Patience, "the post", func() bool { return len(posts(t, hook)) == 1 })
	awaitPaid(j, 2)
	if !strings.Contains(mails[0].Subject, "warning: the certificate of target crm expires on "+
		first.UTC().Format(time.DateOnly)) || posts(t, hook)[0].Kind != "certificate" {
		t.Errorf("the mail is %q, the post %+v", mails[0].Subject, posts(t, hook)[0])
	}
	shake("again")
	j.Kill()
	j.Start()
	shake("after-the-kill")
	j.AwaitTicks(40) // 2 s: it was looked at
	if n := len(box.Mails()); n != 1 {
		t.Errorf("%d mails about one certificate: %q", n, subjects(box))
	}
	front.Renew(time.Now().Add(5 * day))
	shake("shorter")
	box.Await(2)
	front.Renew(time.Now().Add(60 * day))
	shake("renewed")
	j.AwaitTicks(40)
	if n := len(box.Mails()); n != 2 {
		t.Errorf("%d mails about two certificates: %q", n, subjects(box))
	}
}
