package relay

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/hookspool/hookspool/relay/alert"
	"github.com/hookspool/hookspool/relay/attempt"
	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/relay/peers"
	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/look"
)

// mailTimeout bounds one conversation with the mail server.
const mailTimeout = 30 * time.Second

// way is how an alert reaches somebody. Its number is in the spool.
type way uint8

const (
	byMail way = iota
	byPost
	ways // one more than the last
)

// String is the word for the log.
func (w way) String() string { return [...]string{"alert mail", "alert post"}[w] }

// sender sends a notice by one way; nil: somebody took it.
type sender interface {
	Send(ctx context.Context, notice alert.Notice) error
}

// sender is what sends by a way; nil: the way is not configured.
func (s *setup) sender(w way) sender {
	switch {
	case w == byMail && s.mailer != nil:
		return s.mailer
	case w == byPost && s.poster != nil:
		return s.poster
	}
	return nil
}

// payer pays the notices that the spool says are owed by one way. Each is tried when it becomes
// owed, at the start and at every tick, until somebody took it; never more than one conversation at
// a time, and on a goroutine of its own, so that no delivery waits for a mail server, nor one way
// for the other.
type payer struct {
	r   *Relay
	way way
	// due has capacity 1: a token means "look at what is owed".
	due chan struct{}

	mu sync.Mutex // guards below
	// ended is closed when the conversation about sending has; nil: there is none.
	ended   chan struct{}
	sending spool.LaneID
	// untold were taken by somebody when their lane was another relay's, which will ask.
	untold []spool.Notice
}

// untoldMax bounds untold, in case that nobody asks.
const untoldMax = 256

func newPayers(r *Relay) (p [ways]*payer) {
	for w := range p {
		p[w] = &payer{r: r, way: way(w), due: make(chan struct{}, 1)}
	}
	return p
}

// wakePayers lets them look at what is owed.
func (r *Relay) wakePayers() {
	for _, p := range r.payers {
		select {
		case p.due <- struct{}{}:
		default:
		}
	}
}

func (p *payer) loop() {
	for {
		select {
		case <-p.r.stopping:
			return
		case <-p.due:
			p.pay()
		}
	}
}

// pay tries every notice owed by its way once that is this relay's to pay, each target's oldest
// first. What follows one that was not taken waits with it: nobody shall read that a target
// recovered before its defect.
func (p *payer) pay() {
	owed, err := p.r.spool.Notices()
	if err != nil {
		p.r.log.Error("cannot read what alerts are owed; it is tried at the next tick", "error", err)
		return
	}
	by := p.r.setup.Load().sender(p.way)
	if by == nil {
		return // it was owed, then switched off: it stays owed until it is switched on
	}
	owed = p.unpaid(owed)
	waits := make(map[spool.LaneID]bool)
	for _, n := range owed {
		if closed(p.r.stopping) {
			return
		}
		if n.Way == uint8(p.way) && !waits[n.Lane] {
			waits[n.Lane] = !p.serve(by, n)
		}
	}
}

// serve is send for a notice that is this relay's to pay. Whoever gets the lane meanwhile hears of
// it from accounts.
func (p *payer) serve(by sender, n spool.Notice) bool {
	p.mu.Lock()
	p.sending, p.ended = n.Lane, make(chan struct{})
	p.mu.Unlock()
	done := p.pays(n.Lane) && p.send(by, n)
	p.mu.Lock()
	defer p.mu.Unlock()
	if done && !p.pays(n.Lane) {
		p.untold = append(p.untold, n)
		p.untold = p.untold[max(0, len(p.untold)-untoldMax):]
	}
	close(p.ended)
	p.ended = nil
	return done
}

// pays reports whether a notice about a lane, or the spool itself, is this relay's to pay. Nobody
// pays while whoever had the lane before does not say what it has paid: no alert shall come twice.
func (p *payer) pays(id spool.LaneID) bool {
	c := p.r.company
	if c == nil {
		return true
	}
	if id == spool.SpoolItself {
		return c.Leads()
	}
	// As the follower has seen it, which then knows who was before it, and as it is.
	l := p.r.laneNamed(p.r.spool.NameOf(id))
	if l == nil || !l.tenure.ours() || c.Tenure(l.spool) == 0 {
		return false
	}
	_, former := c.Former(id, uint8(p.way))
	return !former
}

// unpaid are the owed notices without those that the relays which had their lanes before have paid.
// That is noted here, because what they write of them is dropped.
func (p *payer) unpaid(owed []spool.Notice) []spool.Notice {
	if p.r.company == nil {
		return owed
	}
	type account struct {
		lane    spool.LaneID
		episode uint64
	}
	paid, asked := make(map[account]bool), make(map[spool.LaneID]bool)
	for _, n := range owed {
		former, is := p.r.company.Former(n.Lane, uint8(p.way))
		if !is || n.Way != uint8(p.way) || asked[n.Lane] || closed(p.r.stopping) {
			continue
		}
		asked[n.Lane] = true
		ctx, cancel := context.WithTimeout(p.r.mailing, 2*mailTimeout)
		text, err := p.r.company.Ask(ctx, former, &peers.Question{Verb: peers.Accounts,
			Way: uint8(p.way), Lane: n.Lane})
		cancel()
		episodes, err := peers.ResultOf[[]uint64](text, err)
		if err != nil {
			p.r.log.Warn("cannot hear whether an alert about a target was sent already; it waits for the "+
				"next tick", "target", p.r.spool.NameOf(n.Lane), "error", err)
			continue
		}
		p.r.company.Settled(n.Lane, uint8(p.way))
		for _, episode := range episodes {
			paid[account{n.Lane, episode}] = true
		}
	}
	return slices.DeleteFunc(owed, func(n spool.Notice) bool {
		if n.Way != uint8(p.way) || !paid[account{n.Lane, n.Episode}] {
			return false
		}
		_ = p.r.spool.Apply(spool.Change{Paid: []spool.Notice{n}}) // otherwise it says why itself
		return true
	})
}

// accounts are the episodes of a lane whose notices were taken here when the lane was another
// relay's already, and are told once. It waits for a conversation that is under way.
func (p *payer) accounts(ctx context.Context, lane spool.LaneID) (episodes []uint64) {
	for {
		p.mu.Lock()
		ended := p.ended
		if ended == nil || p.sending != lane {
			break
		}
		p.mu.Unlock()
		select {
		case <-ended:
		case <-ctx.Done():
			return nil
		}
	}
	defer p.mu.Unlock()
	p.untold = slices.DeleteFunc(p.untold, func(n spool.Notice) bool {
		if n.Lane == lane {
			episodes = append(episodes, n.Episode)
		}
		return n.Lane == lane
	})
	return episodes
}

// send is false when the notice is to be tried again. One that cannot be read never can be, so it
// holds nothing up.
func (p *payer) send(by sender, n spool.Notice) bool {
	var notice alert.Notice
	if err := json.Unmarshal(n.Body, &notice); err != nil {
		p.r.log.Error("cannot read an owed notice; it stays", "episode", n.Episode, "error", err)
		return true
	}
	log := p.r.log.With("target", notice.Target, "kind", notice.Kind)
	// Each way bounds its own conversation.
	if err := by.Send(p.r.mailing, notice); err != nil {
		if p.r.mailing.Err() == nil {
			p.r.metrics.alerts[false].Inc()
			log.Warn("cannot send an "+p.way.String()+"; it is tried again at the next tick",
				"error", err)
		}
		return false
	}
	// A crash before this is on disk sends it once more, with the same Message-ID or webhook-id.
	if err := p.r.spool.Apply(spool.Change{Paid: []spool.Notice{n}}); err != nil {
		log.Error("cannot note that an "+p.way.String()+" was sent", "error", err)
	}
	p.r.metrics.alerts[true].Inc()
	log.Info(p.way.String() + " sent")
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

// newPoster is the poster of a config, or the one at work if that does the same; nil if nothing is
// to be posted.
func (r *Relay) newPoster(cfg *config.Config) (*alert.Poster, error) {
	w := &cfg.Alert.Webhook
	if w.URL == nil {
		return nil, nil
	}
	if now := r.setup.Load(); now.poster != nil && reflect.DeepEqual(&now.cfg.Alert.Webhook, w) {
		return now.poster, nil
	}
	o, err := AttemptOptions(w.Target(), r.version)
	if err != nil {
		return nil, err
	}
	client, err := attempt.NewClient(o)
	if err != nil {
		return nil, fmt.Errorf("cannot post alerts: %w", err)
	}
	return alert.NewPoster(client, config.MaskPath(w.URL), r.now), nil
}

// uses reports whether alerts go by a way.
func (w way) uses(cfg *config.Config) bool {
	if w == byMail {
		return cfg.Alert.Email.SMTP != ""
	}
	return cfg.Alert.Webhook.URL != nil
}

// alerts reports whether anybody is told anything.
func alerts(cfg *config.Config) bool { return byMail.uses(cfg) || byPost.uses(cfg) }

// warns reports whether an alert is a warning of what may come.
func warns(k alert.Kind) bool {
	return k != alert.Defect && k != alert.Recovery && k != alert.Gone && k != alert.Copy
}

// owe is a notice as the spool keeps it, once for every way that is configured. l is nil when it is
// about the spool. Each way pays the notices of a target in the order of their episodes, which is
// that of the instants; ranks keep those of one instant apart, and a recovery after its defect.
func (r *Relay) owe(cfg *config.Config, l *lane, n alert.Notice) []spool.Notice {
	ranks := map[alert.Kind]uint64{alert.Failing: 0, alert.Certificate: 1, alert.Space: 1,
		alert.Gone:   1,
		alert.Defect: 2, alert.Copy: 2, alert.Recovery: 3}
	at := n.At
	if !n.Since.IsZero() {
		at = n.Since
	}
	body, err := json.Marshal(n)
	if err != nil {
		panic("BUG: a notice cannot be encoded: " + err.Error())
	}
	var owed []spool.Notice
	for w := range ways {
		if !w.uses(cfg) || w == byMail && warns(n.Kind) && !cfg.Alert.Email.Warnings {
			continue
		}
		o := spool.Notice{Episode: uint64(at.UnixNano())*4 + ranks[n.Kind], Way: uint8(w), Body: body}
		if l != nil {
			o.Lane = l.spool.ID()
		}
		owed = append(owed, o)
	}
	return owed
}

// defectNotice describes the target for the alert about its defect, as of now.
func (l *lane) defectNotice(cfg *config.Config, now time.Time) alert.Notice {
	n := l.notice(alert.Defect, now, now)
	l.describeTrouble(&n, cfg)
	return n
}

// describeTrouble tells of the job whose verdict this is, and of what waits.
func (l *lane) describeTrouble(n *alert.Notice, cfg *config.Config) {
	c := l.spool.Counts()
	n.FailedJobs++
	n.LastStatus, n.LastError = int(l.lastStatus.Load()), c.LastError
	n.Pending = int64(c.Pending)
	if p, ok := l.spool.OldestPending(); ok {
		n.OldestPending = p.At
		target := l.target()
		left := time.Duration(max(target.Retries(&cfg.Retry)+1-p.Attempts, 0))
		between := min(target.Between(&cfg.Retry), math.MaxInt64/max(left, 1))
		n.FirstExhaustion = n.At.Add(left * between)
		if target != nil && target.Expire > 0 && p.At.Add(target.Expire).Before(n.FirstExhaustion) {
			n.FirstExhaustion = p.At.Add(target.Expire)
		}
	}
}

// recoveryNotice describes the target for the alert about its recovery: done is not pending any
// more, although it is not settled.
func (l *lane) recoveryNotice(since time.Time, done uint64) alert.Notice {
	n := l.notice(alert.Recovery, since, l.r.now())
	n.Pending = int64(l.pendingBeside())
	if n.Pending > 0 {
		// Without a look at the disk that works the mail lacks a line.
		list, _, _ := look.List(l.r.spool, look.Listing{Lane: l.spool.ID(),
			State: spool.StatePending, Limit: 2})
		for i := range list {
			if list[i].Seq != done {
				n.OldestPending = list[i].At
				break
			}
		}
	}
	return n
}

// notice is what all alerts about a target say. since is zero for a warning.
func (l *lane) notice(kind alert.Kind, since, now time.Time) alert.Notice {
	n := l.r.notice(kind, now)
	n.Target, n.Since, n.FailedJobs = l.name, since, l.failedJobs()
	if since.IsZero() {
		since = now
	}
	n.ID = fmt.Sprintf("%s-%s-%s-%d", kind, l.name, l.r.spool.ID(), since.UnixNano())
	if t := l.target(); t != nil {
		n.URL = config.MaskURL(t.URL)
	}
	return n
}

// notice is what all alerts say.
func (r *Relay) notice(kind alert.Kind, now time.Time) alert.Notice {
	return alert.Notice{Kind: kind, At: now, Admin: r.setup.Load().cfg.Server.AdminListen,
		ID: fmt.Sprintf("%s-%s-%d", kind, r.spool.ID(), now.UnixNano())}
}
