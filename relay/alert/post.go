package alert

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/hookspool/hookspool/relay/attempt"
)

// Poster posts notices as JSON to one URL, with the client of targets: its address rules,
// signatures and time limits are theirs. It is safe for concurrent use.
type Poster struct {
	client *attempt.Client
	shown  string // the URL without what is secret in it
	now    func() time.Time
}

// NewPoster makes one of a client, which it owns from now on. shown is the URL as errors name it.
func NewPoster(client *attempt.Client, shown string, now func() time.Time) *Poster {
	return &Poster{client: client, shown: shown, now: now}
}

// post is the body. Slack, Mattermost, Rocket.Chat and Zulip show text and pass over the rest; the
// fields of the notice are for programs.
type post struct {
	Text string `json:"text"`
	*Notice
}

// Send posts a notice and returns nil once the answer was a success. It blocks for the timeout of
// the client at most, or until ctx is done. The webhook-id is that of the notice, whenever it
// is sent. Its errors show nothing of the URL but what may be shown, and nothing of the answer but
// the status.
func (p *Poster) Send(ctx context.Context, notice Notice) error {
	body, err := json.Marshal(post{notice.text(), notice.plain()})
	if err != nil {
		return fmt.Errorf("cannot write alert %s: %w", notice.about(), err)
	}
	out := p.client.Do(ctx, &attempt.Request{ID: notice.messageID(), Type: notice.eventType(),
		ContentType: "application/json", Payload: body, At: p.now()})
	switch {
	case out.Kind == attempt.Success:
		return nil
	case out.Kind == attempt.Aborted:
		return fmt.Errorf("cannot post alert %s to %s: %w", notice.about(), p.shown,
			context.Cause(ctx))
	}
	return fmt.Errorf("cannot post alert %s to %s: %s: %s", notice.about(), p.shown, out.Kind,
		oneLine(out.Error, errorRunesMax))
}

// Close closes the connections that are kept.
func (p *Poster) Close() { p.client.Close() }

// eventType is the webhook-event-type of a post.
func (n *Notice) eventType() string { return "hookspool." + string(n.Kind) }

// plain is the notice with the texts from outside as they are shown everywhere: on one line,
// without what turns the writing around.
func (n Notice) plain() *Notice {
	n.Target, n.URL = n.name(), oneLine(n.URL, lineRunesMax)
	n.LastError = oneLine(n.LastError, lineRunesMax)
	return &n
}

// text is the mail for a chat: the subject, then the body as a block of fixed width. Slack reads
// <!channel> and <http://…|…> as its own, so the three characters that begin such a thing are
// escaped as it wants; a backtick would end the block.
func (n *Notice) text() string {
	escape := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "`", "'")
	return escape.Replace(n.subject()) + "\n```\n" + escape.Replace(n.body()) + "```"
}
