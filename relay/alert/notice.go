package alert

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"
)

const (
	nameRunesMax   = 128  // of a target name
	lineRunesMax   = 1000 // of any other value from outside
	messageIDBytes = 64   // of the part before the @ sign
)

// Kind says what a notice is about.
type Kind string

// The two of an episode, one when a target becomes Defective and one when it has recovered, and the
// early warnings.
const (
	Defect   Kind = "defect"
	Recovery Kind = "recovery"
	// Failing: a target has failed a part of the jobs in a row that make it Defective.
	Failing Kind = "failing"
	// Certificate: the certificate that a target shows expires soon.
	Certificate Kind = "certificate"
	// Gone: a target was paused because it answered 410.
	Gone Kind = "gone"
	// Space: the spool takes most of its room. It is about no target.
	Space Kind = "space"
	// Copy: a server's copy of a shared spool lacks messages. It is about no target.
	Copy Kind = "copy"
)

// Notice is everything one mail or post says. It round-trips through JSON, because it lies in the
// spool until somebody took it. Zero times and an empty Admin leave their lines out.
type Notice struct {
	Kind Kind `json:"kind"`
	// ID names the episode and its kind. It becomes the Message-ID, so that a repeat is known.
	ID string `json:"id"`
	// Target is the target's name, URL its address with everything secret already masked. Both are
	// empty for Space and Copy.
	Target string `json:"target"`
	URL    string `json:"url"`
	// Percent is what was reached: of FailedJobsLimit, of the spool's room.
	Percent int `json:"percent,omitzero"`
	// FailedJobsLimit is how many failed jobs in a row a target may have.
	FailedJobsLimit int `json:"failed_jobs_limit,omitzero"`
	// Expires is when the certificate does.
	Expires time.Time `json:"expires,omitzero"`
	// SpoolBytes of RoomBytes are taken.
	SpoolBytes int64 `json:"spool_bytes,omitzero"`
	RoomBytes  int64 `json:"room_bytes,omitzero"`
	// Server is the one whose copy lacks Missing messages that another one has, at least. It Leads if
	// others take what they lack from it. Doubtful: it may be the others that keep what was deleted.
	Server   string `json:"server,omitzero"`
	Missing  uint64 `json:"missing,omitzero"`
	Leads    bool   `json:"leads,omitzero"`
	Doubtful bool   `json:"doubtful,omitzero"`
	// Since is when the target became Defective.
	Since time.Time `json:"since,omitzero"`
	// At is when the notice was written: the mail's date, and the "now" of every age in it.
	At time.Time `json:"at,omitzero"`
	// FailedJobs is how many retry jobs failed in a row.
	FailedJobs int `json:"failed_jobs"`
	// LastStatus is the last HTTP status that the target answered, 0 when it did not answer, and
	// LastError what went wrong instead of, or besides, a status.
	LastStatus int    `json:"last_status,omitzero"`
	LastError  string `json:"last_error,omitzero"`
	// Pending counts the deliveries that wait; OldestPending is when the oldest was accepted.
	Pending       int64     `json:"pending"`
	OldestPending time.Time `json:"oldest_pending,omitzero"`
	// FirstExhaustion is when the first of them will have used its last attempt. Zero: none will.
	FirstExhaustion time.Time `json:"first_exhaustion,omitzero"`
	// Admin is the admin address of the relay, for whoever types the commands elsewhere.
	Admin string `json:"admin,omitzero"`
}

func (n *Notice) subject() string {
	switch n.Kind {
	case Recovery:
		return fmt.Sprintf("[hookspool] target %s has recovered", n.name())
	case Gone:
		return "[hookspool] " + n.headline()
	case Failing, Certificate, Space, Copy:
		return "[hookspool] warning: " + n.headline()
	}
	return fmt.Sprintf("[hookspool] target %s is Defective", n.name())
}

// about is the subject of an error.
func (n *Notice) about() string {
	if n.Kind == Space || n.Kind == Copy {
		return "about the spool"
	}
	return fmt.Sprintf("for target %q", n.name())
}

func (n *Notice) name() string {
	return oneLine(n.Target, nameRunesMax)
}

// messageID is the stable left side of the Message-ID. An ID that is no plain word is hashed.
func (n *Notice) messageID() string {
	id := n.ID
	if id == "" {
		id = fmt.Sprintf("%s %d %s", n.Kind, n.Since.UnixNano(), n.Target)
	}
	if len(id) <= messageIDBytes && isWord(id) {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:messageIDBytes/4])
}

func (n *Notice) body() string {
	switch n.Kind {
	case Recovery:
		return n.recoveryBody()
	case Failing:
		return n.failingBody()
	case Certificate:
		return n.certificateBody()
	case Gone:
		return n.goneBody()
	case Space:
		return n.spaceBody()
	case Copy:
		return n.copyBody()
	}
	return n.defectBody()
}

func (n *Notice) defectBody() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Target %s is Defective: %d retry jobs in a row have failed.\n\n",
		n.name(), n.FailedJobs)
	row(&b, "Target", n.name())
	row(&b, "URL", oneLine(n.URL, lineRunesMax))
	row(&b, "Defective since", instant(n.Since))
	row(&b, "Failed jobs", fmt.Sprintf("%d in a row", n.FailedJobs))
	row(&b, "Last status", statusText(n.LastStatus))
	row(&b, "Last error", oneLine(n.LastError, lineRunesMax))
	row(&b, "Pending deliveries", fmt.Sprint(n.Pending))
	row(&b, "Oldest pending", n.ago(n.OldestPending))
	row(&b, "First exhausted", n.ahead(n.FirstExhaustion))
	b.WriteString(`
Nothing is lost. Events for this target are still accepted and spooled, and every
tick tries what is due. A delivery that runs out of attempts is exhausted: it is
kept for a while and can be replayed. The first success makes the target Enabled
again.

What to type:

`)
	command(&b, "sample", n.Target, "send a test and show the answer")
	command(&b, "retry", n.Target, "once repaired: try it now; a success lifts the defect")
	n.writeAdmin(&b)
	return b.String()
}

func (n *Notice) recoveryBody() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Target %s has recovered and is Enabled again.\n\n", n.name())
	row(&b, "Target", n.name())
	row(&b, "URL", oneLine(n.URL, lineRunesMax))
	row(&b, "Defective since", instant(n.Since))
	row(&b, "Recovered", instant(n.At))
	if !n.Since.IsZero() && !n.At.IsZero() {
		row(&b, "Was Defective for", span(n.At.Sub(n.Since)))
	}
	pending := "0"
	if n.Pending > 0 {
		pending = fmt.Sprintf("%d, draining", n.Pending)
	}
	row(&b, "Pending deliveries", pending)
	row(&b, "Oldest pending", n.ago(n.OldestPending))
	b.WriteString(`
What waited in the spool is being sent, oldest first. There is nothing to do. To
see how it goes, or what was exhausted in the meantime:

`)
	command(&b, "targets", "", "pending and exhausted deliveries of every target")
	command(&b, "exhausted", "", "deliveries that ran out of attempts")
	n.writeAdmin(&b)
	return b.String()
}

// writeAdmin tells whoever sits at another machine how to reach this relay.
func (n *Notice) writeAdmin(b *strings.Builder) {
	if n.Admin == "" {
		return
	}
	fmt.Fprintf(b, "\nAdmin address of this relay (--admin): %s\n", oneLine(n.Admin, lineRunesMax))
}

// ago writes an instant before At with its age.
func (n *Notice) ago(t time.Time) string {
	if t.IsZero() || n.At.IsZero() {
		return instant(t)
	}
	return fmt.Sprintf("%s (%s ago)", instant(t), span(n.At.Sub(t)))
}

// ahead writes an instant after At with what remains until then.
func (n *Notice) ahead(t time.Time) string {
	switch {
	case t.IsZero() || n.At.IsZero():
		return instant(t)
	case !t.After(n.At):
		return instant(t) + " (now)"
	}
	return fmt.Sprintf("%s (in %s), unless it answers before", instant(t), span(t.Sub(n.At)))
}

// row writes one aligned line of the table, or nothing when there is no value.
func row(b *strings.Builder, label, value string) {
	if value != "" {
		fmt.Fprintf(b, "  %-20s%s\n", label, value)
	}
}

// command writes one line to type, with the name quoted for a shell when it is no plain word.
func command(b *strings.Builder, verb, target, purpose string) {
	line := "hookspool " + verb
	if name := oneLine(target, nameRunesMax); isWord(name) {
		line += " " + name
	} else if target != "" {
		line += " '" + strings.ReplaceAll(name, "'", `'\''`) + "'"
	}
	fmt.Fprintf(b, "  %-32s  # %s\n", line, purpose)
}

func statusText(status int) string {
	if status == 0 {
		return ""
	}
	return strings.TrimSpace(fmt.Sprintf("%d %s", status, http.StatusText(status)))
}

func instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

// span writes a length of time to the minute, or to the second below one.
func span(d time.Duration) string {
	switch {
	case d <= 0:
		return "0s"
	case d < time.Minute:
		return d.Round(time.Second).String()
	}
	return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
}

// isWord reports whether s is made of letters, digits, dashes and underscores of ASCII only.
func isWord(s string) bool {
	for _, r := range s {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_':
		default:
			return false
		}
	}
	return s != ""
}

// oneLine makes one line of a text that came from outside: whatever could start a new line or a new
// header, or turn the writing around, is not graphic and becomes a space; what is too long is cut.
func oneLine(s string, runesMax int) string {
	runes := []rune(strings.Map(func(r rune) rune {
		if unicode.IsGraphic(r) {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(s, "\uFFFD")))
	if len(runes) > runesMax {
		runes = append(runes[:runesMax-1], '…')
	}
	return strings.TrimSpace(string(runes))
}
