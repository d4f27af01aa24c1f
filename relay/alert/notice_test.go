package alert

import (
	"encoding/json"
	"io"
	"mime"
	"mime/quotedprintable"
	"net/mail"
	"reflect"
	"strings"
	"testing"
	"time"
)

func at(hour, minute int) time.Time {
	return time.Date(2026, 11, 3, hour, minute, 0, 0, time.UTC)
}

func defectNotice() Notice {
	return Notice{
		Kind:            Defect,
		ID:              "alert_01JC0000000000000000000000",
		Target:          "crm",
		URL:             "https://crm.example/hook?***",
		Since:           at(10, 20),
		At:              at(10, 21),
		FailedJobs:      101,
		LastStatus:      503,
		LastError:       "status 503 after 12ms",
		Pending:         12345,
		OldestPending:   at(10, 21).Add(-16*time.Hour - 50*time.Minute),
		FirstExhaustion: at(17, 30),
		Admin:           "http://127.0.0.1:8471",
	}
}

func recoveryNotice() Notice {
	return Notice{
		Kind: Recovery, ID: "alert_02", Target: "crm", URL: "https://crm.example/hook",
		Since: at(10, 20), At: at(13, 45), Pending: 42, OldestPending: at(9, 0),
	}
}

// sendOne sends a notice through a real server and returns what arrived, body decoded.
func sendOne(t *testing.T, notice Notice) received {
	t.Helper()
	s := startServer(t, TLSStart, &mailServer{})
	m := mustMailer(t, testOptions(s, TLSStart))
	if err := m.Send(t.Context(), notice); err != nil {
		t.Fatal(err)
	}
	mails := s.taken()
	if len(mails) != 1 {
		t.Fatalf("%d mails taken", len(mails))
	}
	got := mails[0]
	if encoding := got.head.Get("Content-Transfer-Encoding"); encoding != "quoted-printable" {
		t.Fatalf("Content-Transfer-Encoding: %s", encoding)
	}
	body, err := io.ReadAll(quotedprintable.NewReader(strings.NewReader(got.body)))
	if err != nil {
		t.Fatal(err)
	}
	got.body = strings.ReplaceAll(string(body), "\r\n", "\n")
	return got
}

func subjectOf(t *testing.T, head mail.Header) string {
	t.Helper()
	subject, err := new(mime.WordDecoder).DecodeHeader(head.Get("Subject"))
	if err != nil {
		t.Fatal(err)
	}
	return subject
}

// fields reads the aligned rows of a body.
func fields(body string) map[string]string {
	rows := make(map[string]string)
	for line := range strings.Lines(body) {
		if strings.HasPrefix(line, "  hookspool ") {
			continue
		}
		if strings.HasPrefix(line, "  ") && len(line) > 22 && line[21] == ' ' {
			rows[strings.TrimSpace(line[2:22])] = strings.TrimSpace(line[22:])
		}
	}
	return rows
}

func wantFields(t *testing.T, body string, want map[string]string) {
	t.Helper()
	got := fields(body)
	for label, value := range want {
		if got[label] != value {
			t.Errorf("%s: %q, want %q", label, got[label], value)
		}
	}
	if t.Failed() {
		t.Logf("body:\n%s", body)
	}
}

func TestDefectMail(t *testing.T) {
	got := sendOne(t, defectNotice())
	if subject := subjectOf(t, got.head); subject != "[hookspool] target crm is Defective" {
		t.Errorf("Subject: %s", subject)
	}
	f := func(name, want string) {
		t.Helper()
		if value := got.head.Get(name); value != want {
			t.Errorf("%s: %q, want %q", name, value, want)
		}
	}
	f("Message-Id", "<alert_01JC0000000000000000000000@store.example>")
	f("Content-Type", "text/plain; charset=UTF-8")
	f("Date", "Tue, 03 Nov 2026 10:21:00 +0000")
	f("From", `"Relay" <relay@store.example>`)
	f("To", "<ops@store.example>")
	f("Auto-Submitted", "auto-generated")
	wantFields(t, got.body, map[string]string{
		"Target":             "crm",
		"URL":                "https://crm.example/hook?***",
		"Defective since":    "2026-11-03 10:20:00 UTC",
		"Failed jobs":        "101 in a row",
		"Last status":        "503 Service Unavailable",
		"Last error":         "status 503 after 12ms",
		"Pending deliveries": "12345",
		"Oldest pending":     "2026-11-02 17:31:00 UTC (16h50m ago)",
		"First exhausted":    "2026-11-03 17:30:00 UTC (in 7h9m), unless it answers before",
	})
	for _, part := range []string{
		"  hookspool sample crm ", "  hookspool retry crm ", "--admin): http://127.0.0.1:8471\n",
	} {
		if !strings.Contains(got.body, part) {
			t.Errorf("body lacks %q:\n%s", part, got.body)
		}
	}
}

func TestRecoveryMail(t *testing.T) {
	got := sendOne(t, recoveryNotice())
	if subject := subjectOf(t, got.head); subject != "[hookspool] target crm has recovered" {
		t.Errorf("Subject: %s", subject)
	}
	wantFields(t, got.body, map[string]string{
		"Target":             "crm",
		"Defective since":    "2026-11-03 10:20:00 UTC",
		"Recovered":          "2026-11-03 13:45:00 UTC",
		"Was Defective for":  "3h25m",
		"Pending deliveries": "42, draining",
		"Oldest pending":     "2026-11-03 09:00:00 UTC (4h45m ago)",
	})
	if strings.Contains(got.body, "hookspool enable") || strings.Contains(got.body, "--admin") {
		t.Errorf("body tells more than it knows:\n%s", got.body)
	}
}

// What is unknown leaves no line behind, and nothing odd either.
func TestBareMail(t *testing.T) {
	f := func(notice Notice, want ...string) {
		t.Helper()
		rows := fields(notice.body())
		for _, label := range want {
			if rows[label] == "" {
				t.Errorf("%s: no %s", notice.Kind, label)
			}
			delete(rows, label)
		}
		if len(rows) > 0 {
			t.Errorf("%s: unexpected rows %q", notice.Kind, rows)
		}
	}
	f(Notice{Kind: Defect, Target: "crm"}, "Target", "Failed jobs", "Pending deliveries")
	f(Notice{Kind: Recovery, Target: "crm"}, "Target", "Pending deliveries")
}

// Names and errors from outside make neither headers nor lines nor commands of their own.
func TestInjection(t *testing.T) {
	notice := defectNotice()
	notice.Target = "crm\r\nBcc: all@evil.example\r\n\r\n'; rm -rf /"
	notice.URL = "https://crm.example/\u202egnp.exe"
	notice.LastError = "boom\r\n.\r\nMAIL FROM:<x@evil.example>\nWhat to type:\x1b[2J\x00 \xff"
	notice.Admin = "http://a\nhookspool purge crm --yes"
	got := sendOne(t, notice)
	for name := range got.head {
		switch name {
		case "Auto-Submitted", "Content-Transfer-Encoding", "Content-Type", "Date", "From",
			"Message-Id", "Mime-Version", "Subject", "To":
		default:
			t.Errorf("header %s: %q", name, got.head[name])
		}
	}
	subject := "[hookspool] target crm  Bcc: all@evil.example    '; rm -rf / is Defective"
	if s := subjectOf(t, got.head); s != subject {
		t.Errorf("Subject: %q", s)
	}
	if len(got.to) != 1 {
		t.Errorf("recipients: %q", got.to)
	}
	wantFields(t, got.body, map[string]string{
		"Target":     "crm  Bcc: all@evil.example    '; rm -rf /",
		"URL":        "https://crm.example/ gnp.exe",
		"Last error": "boom  .  MAIL FROM:<x@evil.example> What to type: [2J  \uFFFD",
	})
	if !strings.Contains(got.body, `hookspool retry 'crm  Bcc: all@evil.example    '\''; rm`) {
		t.Errorf("the command is not quoted:\n%s", got.body)
	}
	if strings.Contains(got.body, "\nhookspool purge") {
		t.Errorf("the admin address made a line:\n%s", got.body)
	}
}

// A name that is not ASCII arrives as it is, in the subject and in the body.
func TestUnicode(t *testing.T) {
	notice := defectNotice()
	notice.Target = "Köln-日本"
	got := sendOne(t, notice)
	if s := subjectOf(t, got.head); s != "[hookspool] target Köln-日本 is Defective" {
		t.Errorf("Subject: %q", s)
	}
	wantFields(t, got.body, map[string]string{"Target": "Köln-日本"})
}

func TestMessageID(t *testing.T) {
	f := func(a, b Notice, same bool) {
		t.Helper()
		if (a.messageID() == b.messageID()) != same || !isWord(a.messageID()) {
			t.Errorf("%q and %q: same must be %t", a.messageID(), b.messageID(), same)
		}
	}
	one := Notice{Kind: Defect, ID: "a b", Target: "crm", Since: at(1, 0)}
	// The rest of a notice may have moved on since the first try.
	later := one
	later.Pending, later.At = 9, at(2, 0)
	f(one, later, true)
	// Another ID, plain or not, or too long.
	other := one
	other.ID = "a_b"
	f(one, other, false)
	other.ID = strings.Repeat("x", messageIDBytes+1)
	f(one, other, false)
	// Without an ID the episode and the kind make one.
	one.ID, later.ID, other.ID = "", "", ""
	f(one, later, true)
	other.Kind = Recovery
	f(one, other, false)

	// The whole mail is the same when it is sent again.
	a, b := sendOne(t, defectNotice()), sendOne(t, defectNotice())
	if !reflect.DeepEqual(a.head, b.head) || a.body != b.body {
		t.Errorf("two mails of one notice differ:\n%v\n%v", a.head, b.head)
	}
}

func TestNoticeJSON(t *testing.T) {
	f := func(want Notice) {
		t.Helper()
		encoded, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got Notice
		if err := json.Unmarshal(encoded, &got); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("round trip of %s:\ngot  %+v\nwant %+v", encoded, got, want)
		}
	}
	f(defectNotice())
	f(recoveryNotice())
	f(Notice{})
}

func TestSpan(t *testing.T) {
	f := func(d time.Duration, want string) {
		t.Helper()
		if got := span(d); got != want {
			t.Errorf("span(%s) = %q, want %q", d, got, want)
		}
	}
	f(-time.Second, "0s")
	f(0, "0s")
	f(1400*time.Millisecond, "1s")
	f(90*time.Second, "2m")
	f(7*time.Hour+9*time.Minute+10*time.Second, "7h9m")
	f(50*time.Hour, "50h0m")
}
