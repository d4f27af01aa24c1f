package relay

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/hookspool/hookspool/relay/alert"
	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/spool"
)

const (
	// warnEvery is how often certificates and space are looked at: at most a few loads a target.
	warnEvery = time.Second
	// certificatesMax bounds what a memo remembers; a target behind several servers may show as
	// many certificates in turn.
	certificatesMax = 64
)

// memo is what was warned of, so that it is said once also across a restart. It is written in the
// commit that owes the warning.
type memo struct {
	// Level is the percentage of failed jobs that was warned of in this run of them; 0: none.
	Level int `json:"level,omitzero"`
	// Certificates are those that were warned of, each known by its expiry in unix seconds: two of
	// one target that expire in the same second need one warning.
	Certificates []int64 `json:"certificates,omitzero"`
	// Full is set from the warning about the spool's space until there is some again.
	Full bool `json:"full,omitzero"`
	// Servers are those whose copies lack messages, as was warned of, and Doubtful those of which that
	// is doubtful.
	Servers  []string `json:"servers,omitzero"`
	Doubtful []string `json:"doubtful,omitzero"`
	// Order is the one by which what is pending beside the log stands in line; empty: none does.
	Order string `json:"order,omitzero"`
}

// of is the memo as the spool keeps it, about a lane or, for nil, the spool.
func (m memo) of(l *spool.Lane) spool.Memo {
	if m.Level == 0 && len(m.Certificates) == 0 && !m.Full &&
		len(m.Servers) == 0 && len(m.Doubtful) == 0 && m.Order == "" {
		return spool.Memo{Lane: l.ID()}
	}
	body, err := json.Marshal(m)
	if err != nil {
		panic("BUG: a memo cannot be encoded: " + err.Error())
	}
	return spool.Memo{Lane: l.ID(), Body: body}
}

// memoOf reads a memo. What cannot be read counts as nothing: a warning may then come again.
func (r *Relay) memoOf(l *spool.Lane) memo {
	var m memo
	body, err := r.spool.Memo(l.ID())
	if err == nil && len(body) > 0 {
		err = json.Unmarshal(body, &m)
	}
	if err != nil {
		r.log.Error("cannot read what was warned of; a warning may come again", "error", err)
		return memo{}
	}
	return m
}

// step is what one more failed job in a row means to the operator.
type step struct {
	kind  alert.Kind // Defect, Failing, or nothing
	level int        // of Failing: the percentage that is reached
}

func (l *lane) nextStep(cfg *config.Config) step {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stepLocked(cfg)
}

func (l *lane) stepLocked(cfg *config.Config) step {
	failed, limit := l.standing.FailedJobs+1, cfg.Defect.AfterFailedJobs
	switch {
	case !l.standing.DefectiveSince.IsZero():
		return step{}
	case failed > limit:
		return step{kind: alert.Defect}
	}
	if level := levelAt(cfg.Alert.WarnAt, failed, limit); level > l.memo.Level {
		return step{alert.Failing, level}
	}
	return step{}
}

// levelAt is the highest percentage of the limit that is reached; 0: none. When one job reaches
// several of them, as it may if the limit is small, the highest tells it all. At the limit itself
// nothing is early any more: the next failed job is the defect.
func levelAt(levels []int, failed, limit int) int {
	highest := 0
	if failed >= limit {
		return 0
	}
	for _, level := range levels {
		if failed*100 >= level*limit {
			highest = max(highest, level)
		}
	}
	return highest
}

// tellStep is what is owed for a step.
func (l *lane) tellStep(cfg *config.Config, s step, now time.Time) []spool.Notice {
	if s.kind == "" || !alerts(cfg) {
		return nil
	}
	if s.kind == alert.Defect {
		return l.r.owe(cfg, l, l.defectNotice(cfg, now))
	}
	n := l.notice(alert.Failing, time.Time{}, now)
	l.describeTrouble(&n, cfg)
	n.Percent, n.FailedJobsLimit = s.level, cfg.Defect.AfterFailedJobs
	return l.r.owe(cfg, l, n)
}

// forgetLevelLocked ends the run of failed jobs for the warnings: the next one begins again. It
// returns what was warned of.
func (l *lane) forgetLevelLocked(change *spool.Change) int {
	level := l.memo.Level
	if level > 0 {
		l.memo.Level = 0
		change.Memos = append(change.Memos, l.memo.of(l.spool))
	}
	return level
}

// warnLoop looks at what comes on without any job: certificates, space and the servers' copies.
func (r *Relay) warnLoop() {
	timer := time.NewTicker(warnEvery)
	defer timer.Stop()
	for {
		select {
		case <-r.stopping:
			return
		case <-timer.C:
			r.lookOut(r.now())
		}
	}
}

// lookOut warns of what there is to warn of. It is called by one goroutine at a time.
func (r *Relay) lookOut(now time.Time) {
	cfg := r.setup.Load().cfg
	for _, l := range r.allLanes() {
		l.lookAtCertificate(cfg, now)
	}
	r.whole.look(r, cfg, now)
	keepHistory(r, now, false)
}

// keepHistory keeps the minutes that have ended, or, if the relay stops, all. Where the spool takes
// nothing they wait: a change would wait for room there, and warnings with it. Why a spool writes
// nothing it has said itself.
func keepHistory(r *Relay, now time.Time, stops bool) {
	h := &r.metrics.history
	if !stops && !h.Due(now) {
		return
	}
	sources := sourcesOf(r)
	h.TakeIn()
	if r.spool.Admit(0) == nil {
		_ = h.Keep(now, sources, stops)
	}
}

// lookAtCertificate warns of the certificate that the target showed last, once. One that has
// expired is no warning any more: attempts fail, and say why.
func (l *lane) lookAtCertificate(cfg *config.Config, now time.Time) {
	seconds := l.expires.Load()
	expires := time.Unix(seconds, 0)
	if seconds == 0 || !l.tenure.ours() || l.target() == nil || !expires.After(now) ||
		expires.After(now.Add(cfg.Alert.TLSExpiry)) || l.knows(seconds) {
		return
	}
	n := l.notice(alert.Certificate, time.Time{}, now)
	n.Expires = expires
	change := spool.Change{Owe: l.r.owe(cfg, l, n)}
	l.mu.Lock()
	if !l.tenure.ours() {
		l.mu.Unlock()
		return // it is whoever has it now that warns
	}
	l.memo.Certificates = remember(l.memo.Certificates, seconds, now)
	change.Memos = []spool.Memo{l.memo.of(l.spool)}
	wait := l.r.spool.Begin(change)
	l.mu.Unlock()
	l.r.log.Warn("the certificate of a target expires soon", "target", l.name, "expires", expires)
	if err := wait(); err == nil { // otherwise the spool has said why
		l.r.wakePayers()
	}
}

func (l *lane) knows(certificate int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Contains(l.memo.Certificates, certificate)
}

// remember adds a certificate and forgets those that have expired and, when there are too many, the
// oldest: never the one just warned of, which would be warned of again at the next look.
func remember(certificates []int64, one int64, now time.Time) []int64 {
	var kept []int64
	for _, c := range certificates {
		if c > now.Unix() {
			kept = append(kept, c)
		}
	}
	kept = append(kept, one)
	return kept[max(0, len(kept)-certificatesMax):]
}

// spoolWatch warns of what is about the spool as a whole. It belongs to whoever calls lookOut.
type spoolWatch struct {
	memo memo
	// led: this relay was the one that warns at the last look.
	led bool
}

func (s *spoolWatch) look(r *Relay, cfg *config.Config, now time.Time) {
	leads, led := r.company.Leads(), s.led
	if s.led = leads; leads && !led {
		s.memo = r.memoOf(nil) // another relay may have warned until now
	}
	if leads {
		s.lookAtSpace(r, cfg, now)
		s.lookAtCopies(r, cfg, now)
	}
}

func (s *spoolWatch) lookAtSpace(r *Relay, cfg *config.Config, now time.Time) {
	limit := cfg.Alert.SpoolPercent
	if limit == 0 {
		return
	}
	disk := r.spool.Disk()
	room := roomOf(disk)
	percent := percentOf(disk.Bytes, room)
	switch {
	case !s.memo.Full && percent > limit:
		r.log.Warn("the spool takes most of its room; when that is full events are refused",
			"percent", percent, "bytes", disk.Bytes, "room", room)
		n := r.notice(alert.Space, now)
		n.Percent, n.SpoolBytes, n.RoomBytes = percent, disk.Bytes, room
		for _, l := range r.allLanes() {
			n.Pending += int64(l.spool.Counts().Pending)
		}
		s.memo.Full = true
		s.note(r, r.owe(cfg, nil, n))
	case s.memo.Full && percent < limit*7/8:
		r.log.Info("the spool has room again", "percent", percent, "bytes", disk.Bytes, "room", room)
		s.memo.Full = false
		s.note(r, nil)
	}
}

// lookAtCopies warns of servers whose copies lack messages, once for as long as they do, and once
// more when what was doubtful is clear. The engine logs it.
func (s *spoolWatch) lookAtCopies(r *Relay, cfg *config.Config, now time.Time) {
	copies := r.company.Copies()
	if copies.Looked.IsZero() {
		return
	}
	next := s.memo
	next.Servers, next.Doubtful = nil, nil
	var owed []spool.Notice
	for _, c := range copies.Short {
		to, warned := &next.Servers, s.memo.Servers
		if c.Doubtful {
			to, warned = &next.Doubtful, slices.Concat(s.memo.Servers, s.memo.Doubtful)
		}
		*to = append(*to, c.Node)
		if slices.Contains(warned, c.Node) {
			continue
		}
		n := r.notice(alert.Copy, now)
		now = now.Add(1) // an episode is known by its instant
		n.Server, n.Missing, n.Leads, n.Doubtful = c.Node, c.Missing, c.Leads, c.Doubtful
		owed = append(owed, r.owe(cfg, nil, n)...)
	}
	if !slices.Equal(next.Servers, s.memo.Servers) || !slices.Equal(next.Doubtful, s.memo.Doubtful) {
		s.memo = next
		s.note(r, owed)
	}
}

func (s *spoolWatch) note(r *Relay, owed []spool.Notice) {
	err := r.spool.Apply(spool.Change{Owe: owed, Memos: []spool.Memo{s.memo.of(nil)}})
	if err == nil { // otherwise the spool has said why
		r.wakePayers()
	}
}

// roomOf is what the spool may take: its budget, or what it has and can have of its disk if that is
// less. So a disk that others fill makes the room smaller, and a large one that is rather full does
// not.
func roomOf(d spool.DiskUsage) int64 {
	room := d.Bytes + max(0, d.FreeBytes-max(d.MinFreeBytes, d.ReserveBytes))
	if d.Limit > 0 {
		room = min(room, d.Limit)
	}
	return room
}

func percentOf(part, whole int64) int {
	if whole <= 0 {
		return 100
	}
	return int(min(part*100/whole, 100))
}
