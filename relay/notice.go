package relay

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/hookspool/hookspool/relay/alert"
	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/spool"
)

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
func warns(k alert.Kind) bool { return k != alert.Defect && k != alert.Recovery }

// owe is a notice as the spool keeps it, once for every way that is configured. l is nil when it is
// about the spool. Each way pays the notices of a target in the order of their episodes, which is
// that of the instants; ranks keep those of one instant apart, and a recovery behind its defect.
func (r *Relay) owe(cfg *config.Config, l *lane, n alert.Notice) []spool.Notice {
	ranks := map[alert.Kind]uint64{alert.Failing: 0, alert.Certificate: 1, alert.Space: 1,
		alert.Defect: 2, alert.Recovery: 3}
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
		left := max(cfg.Retry.MaxAttempts+1-p.Attempts, 0)
		n.FirstExhaustion = n.At.Add(time.Duration(left) * cfg.Retry.Interval)
	}
}

// recoveryNotice describes the target for the alert about its recovery: done is not pending any
// more, although it is not settled.
func (l *lane) recoveryNotice(since time.Time, done uint64) alert.Notice {
	n := l.notice(alert.Recovery, since, l.r.now())
	n.Pending = int64(l.pendingBeside())
	if n.Pending > 0 {
		// Without a look at the disk that works the mail lacks a line.
		list, _, _ := l.spool.List(spool.Listing{State: spool.StatePending, Limit: 2})
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
