package relay

import (
	"context"
	"encoding/json"
	"time"

	"github.com/hookspool/hookspool/relay/alert"
	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/spool"
)

// mailTimeout bounds one conversation with the mail server.
const mailTimeout = 30 * time.Second

// mail pays the notices that the spool says are owed. Each is tried when it becomes owed, at the
// start and at every tick, until the server took it; never more than one conversation at a time,
// and on a goroutine of its own, so that no delivery waits for a mail server.
type mail struct {
	r *Relay
	// due has capacity 1: a token means "look at what is owed".
	due chan struct{}
}

func newMail(r *Relay) *mail { return &mail{r: r, due: make(chan struct{}, 1)} }

func (m *mail) wake() {
	select {
	case m.due <- struct{}{}:
	default:
	}
}

func (m *mail) loop() {
	for {
		select {
		case <-m.r.stopping:
			return
		case <-m.due:
			m.pay()
		}
	}
}

// pay tries every owed notice once, each target's oldest first. What follows one that the server
// did not take waits with it: nobody shall read that a target recovered before its defect.
func (m *mail) pay() {
	owed, err := m.r.spool.Notices()
	if err != nil {
		m.r.log.Error("cannot read what mail is owed; it is tried at the next tick", "error", err)
		return
	}
	mailer := m.r.setup.Load().mailer
	if mailer == nil {
		return // mail was owed, then switched off: it stays owed until it is switched on
	}
	waits := make(map[*spool.Lane]bool)
	for _, n := range owed {
		if closed(m.r.stopping) {
			return
		}
		if !waits[n.Lane] {
			waits[n.Lane] = !m.send(mailer, n)
		}
	}
}

// send is false when the notice is to be tried again. One that cannot be read never can be, so it
// holds nothing up.
func (m *mail) send(mailer *alert.Mailer, n spool.Notice) bool {
	var notice alert.Notice
	if err := json.Unmarshal(n.Body, &notice); err != nil {
		m.r.log.Error("cannot read an owed notice; it stays", "target", n.Lane.Name(), "error", err)
		return true
	}
	ctx, cancel := context.WithTimeout(m.r.mailing, mailTimeout)
	defer cancel()
	if err := mailer.Send(ctx, notice); err != nil {
		if m.r.mailing.Err() == nil {
			m.r.metrics.alerts[false].Inc()
			m.r.log.Warn("cannot send an alert mail; it is tried again at the next tick",
				"target", notice.Target, "kind", notice.Kind, "error", err)
		}
		return false
	}
	// A crash before this is on disk sends the mail once more, with the same Message-ID.
	if err := m.r.spool.Apply(spool.Change{Paid: []spool.Notice{n}}); err != nil {
		m.r.log.Error("cannot note that a mail was sent", "target", notice.Target, "error", err)
	}
	m.r.metrics.alerts[true].Inc()
	m.r.log.Info("alert mail sent", "target", notice.Target, "kind", notice.Kind)
	return true
}

// newMailer is the mailer of a config; nil if no mail is configured.
func newMailer(cfg *config.Config) (*alert.Mailer, error) {
	e := cfg.Alert.Email
	if e.SMTP == "" {
		return nil, nil
	}
	return alert.NewMailer(alert.Options{SMTP: e.SMTP, TLS: e.TLS, Username: e.Username,
		Password: e.Password.Reveal(), From: e.From, To: e.To, Timeout: mailTimeout})
}
