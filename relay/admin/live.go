package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"
)

const (
	// streamsMax bounds the streams open at once; each is a connection and a goroutine.
	streamsMax = 16
	// pulsePause lies between two states of a stream; between two looks for attempts a quarter of it,
	// which shows up to lookMax of them: 20 a second.
	pulsePause     = time.Second
	lookPause      = pulsePause / 4
	lookMax        = 5
	streamPatience = 3 * pulsePause
	// commentPause keeps proxies from ending a stream that says nothing.
	commentPause = 15 * time.Second
)

// StreamedAttempt is the data of an attempt event of GET /v1/stream.
type StreamedAttempt struct {
	RecentAttempt
	// Dropped are the attempts that were left out before this one.
	Dropped uint64 `json:"dropped"`
}

// pulse is the state of the relay as every stream tells it, encoded once a second for all of them.
type pulse struct {
	mu   sync.Mutex // guards below; held while the backend is asked, by streams alone
	at   time.Time
	text []byte
}

// state is the newest pulse, made again if it is old.
func (s *Server) state() []byte {
	p := &s.pulse
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.at) >= pulsePause*9/10 {
		p.text = appendMessage(nil, "status", s.statusNow())
		p.text = appendMessage(p.text, "targets", s.targetsNow())
		p.at = time.Now()
	}
	return p.text // never changed, only replaced
}

// appendMessage writes one event of a stream. JSON has no line ends in it.
func appendMessage(b []byte, name string, v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic("BUG: an answer cannot be encoded: " + err.Error())
	}
	b = append(b, "event: "...)
	b = append(b, name...)
	b = append(b, "\ndata: "...)
	b = append(b, data...)
	return append(b, "\n\n"...)
}

// live tells what happens until the caller leaves or the relay stops.
func (s *Server) live(c *call) error {
	const kind = "text/event-stream; charset=utf-8"
	c.header().Set("X-Accel-Buffering", "no") // a buffering proxy would show it in lumps
	if c.r.Method == http.MethodHead {
		c.begin(http.StatusOK, kind)
		return nil
	}
	if !s.enterStream() {
		c.header().Set("Retry-After", "10")
		return Refuse(http.StatusServiceUnavailable, codeOverloaded,
			"%d streams are open; close one", streamsMax)
	}
	defer func() { <-s.streams }()
	token := presented(c.r.Header.Get("Authorization"))
	c.header().Set("Connection", "close")
	c.begin(http.StatusOK, kind)
	watch := func(life context.Context, w *patientWriter) error { return s.watch(life, w, token) }
	if err := s.guarded(c, watch); err != nil {
		s.options.Log.Debug("a stream ended", "reason", err)
	}
	return nil
}

// enterStream takes a place among the streams. When all are taken it waits for streamPatience: one
// whose caller has left, such as the console's of the page before, ends at its second write from
// then on.
func (s *Server) enterStream() bool {
	select {
	case s.streams <- struct{}{}:
		return true
	default:
	}
	timer := time.NewTimer(streamPatience)
	defer timer.Stop()
	select {
	case s.streams <- struct{}{}:
		return true
	case <-timer.C:
	case <-s.life.Done():
	}
	return false
}

// watch writes to one caller, as long as the token that it came with is the one of now; only its
// own goroutine waits for it.
func (s *Server) watch(life context.Context, w *patientWriter, token string) error {
	v := viewer{s: s, w: w, follow: s.options.Backend.Follow()}
	looks := time.NewTicker(lookPause)
	defer looks.Stop()
	for now := time.Now(); ; {
		if err := v.show(now); err != nil {
			return err
		}
		select {
		case <-life.Done():
			return nil
		case now = <-looks.C:
		}
		if !s.accepts(token) {
			return nil // who still may asks again
		}
	}
}

// viewer is one caller of a stream.
type viewer struct {
	s       *Server
	w       *patientWriter
	follow  func(most int) ([]RecentAttempt, uint64)
	pulseAt time.Time
	spoken  time.Time // the last comment
}

// show writes what is new; an error means that the caller is gone or does not read.
func (v *viewer) show(now time.Time) error {
	var text []byte
	if now.Sub(v.spoken) >= commentPause {
		text, v.spoken = append(text, ": alive\n\n"...), now
	}
	if now.Sub(v.pulseAt) >= pulsePause-lookPause/2 {
		text, v.pulseAt = append(text, v.s.state()...), now
	}
	attempts, dropped := v.follow(lookMax)
	for i := range attempts {
		text = appendMessage(text, "attempt", StreamedAttempt{attempts[i], dropped})
		dropped = 0
	}
	if len(text) == 0 {
		return nil
	}
	if _, err := v.w.Write(text); err != nil {
		return err
	}
	return v.w.flush()
}
