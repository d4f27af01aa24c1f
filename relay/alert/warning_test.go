package alert

import (
	"strings"
	"testing"
	"time"
)

func failingNotice() Notice {
	n := defectNotice()
	n.Kind, n.ID, n.Since = Failing, "alert_03", time.Time{}
	n.FailedJobs, n.FailedJobsLimit, n.Percent = 90, 100, 90
	return n
}

func certificateNotice() Notice {
	return Notice{Kind: Certificate, ID: "alert_04", Target: "crm", URL: "https://crm.example/hook",
		At: at(10, 21), Expires: at(10, 21).Add(13*24*time.Hour + time.Hour)}
}

func goneNotice() Notice {
	return Notice{Kind: Gone, ID: "alert_06", Target: "crm", URL: "https://crm.example/hook",
		At: at(10, 21), Pending: 7}
}

func spaceNotice() Notice {
	return Notice{Kind: Space, ID: "alert_05", At: at(10, 21), Percent: 81, SpoolBytes: 8699400192,
		RoomBytes: 10 << 30, Pending: 7}
}

func copyNotice() Notice {
	return Notice{Kind: Copy, ID: "alert_07", At: at(10, 21), Server: "nats-1", Missing: 412}
}

// TestWarningMails asserts what each warning says, in the subject, in rows and in what to type.
func TestWarningMails(t *testing.T) {
	f := func(notice Notice, subject string, want map[string]string, commands ...string) {
		t.Helper()
		got := sendOne(t, notice)
		if s := subjectOf(t, got.head); s != subject {
			t.Errorf("Subject: %s", s)
		}
		wantFields(t, got.body, want)
		for _, command := range commands {
			if !strings.Contains(got.body, "  hookspool "+command+" ") {
				t.Errorf("body lacks %q:\n%s", command, got.body)
			}
		}
		for line := range strings.Lines(got.body) {
			if len(line) > 100 {
				t.Errorf("a line of %d bytes: %s", len(line), line)
			}
		}
	}
	f(failingNotice(), "[hookspool] warning: target crm has failed 90 of 100 jobs", map[string]string{
		"Target":             "crm",
		"Failed jobs":        "90 in a row; Defective above 100",
		"Last status":        "503 Service Unavailable",
		"Pending deliveries": "12345",
		"First exhausted":    "2026-11-03 17:30:00 UTC (in 7h9m), unless it answers before",
	}, "sample crm", "targets")
	f(certificateNotice(), "[hookspool] warning: the certificate of target crm expires on 2026-11-16",
		map[string]string{
			"Target":  "crm",
			"URL":     "https://crm.example/hook",
			"Expires": "2026-11-16 11:21:00 UTC (in 313h0m)",
		}, "sample crm")
	f(goneNotice(), "[hookspool] target crm is paused: it answered 410 Gone", map[string]string{
		"Target": "crm", "URL": "https://crm.example/hook", "Paused": "2026-11-03 10:21:00 UTC",
		"Pending deliveries": "7",
	}, "sample crm", "resume crm")
	f(spaceNotice(), "[hookspool] warning: the spool takes 81 % of its room", map[string]string{
		"Spool": "8.1 GiB", "Room": "10.0 GiB", "Pending deliveries": "7", "Target": "",
	}, "targets", "spool stat")
	f(copyNotice(), "[hookspool] warning: the copy of the spool on server nats-1 lacks messages",
		map[string]string{"Server": "nats-1", "Missing": "412 messages at least", "Leads": "",
			"Doubtful": "", "Target": ""}, "status")
	bad := copyNotice()
	bad.Leads, bad.Doubtful = true, true
	f(bad, "[hookspool] warning: the copy of the spool on server nats-1 lacks messages",
		map[string]string{"Leads": "yes: the others take what they lack from it",
			"Doubtful": "yes: it may be the others that keep what was deleted"})
}

func TestBytesText(t *testing.T) {
	f := func(n int64, want string) {
		t.Helper()
		if got := bytesText(n); got != want {
			t.Errorf("bytesText(%d) = %q, want %q", n, got, want)
		}
	}
	f(0, "0 B")
	f(1023, "1023 B")
	f(1536, "1.5 KiB")
	f(10<<30, "10.0 GiB")
	f(1<<62, "4096.0 PiB")
}
