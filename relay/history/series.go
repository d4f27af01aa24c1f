package history

import (
	"time"

	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/look"
)

// Span is how much of the past is asked for, and how finely.
type Span struct {
	Name   string
	Step   time.Duration // a minute or an hour
	Points int
}

// Spans are all there are.
func Spans() []Span {
	return []Span{{"24h", time.Minute, 24 * 60}, {"1h", time.Minute, 60}, {"30d", time.Hour, 30 * 24}}
}

// Series is what happened in a span, stretch by stretch; the last one is under way.
type Series struct {
	From time.Time
	Step time.Duration
	// Tallies are nil where nothing happened.
	Tallies []*Tally
}

// number is the number of the stretch in which a minute lies.
func (s *Span) number(minute int64) int64 { return minute * 60 / int64(s.Step/time.Second) }

// Values are those of a counter.
func (s *Series) Values(counter int) []uint32 {
	out := make([]uint32, len(s.Tallies))
	for i, t := range s.Tallies {
		if t != nil {
			out[i] = t[counter]
		}
	}
	return out
}

// Failed are how many attempts had an outcome; some: not none throughout.
func (s *Series) Failed(outcome uint8) (values []uint32, some bool) {
	values = make([]uint32, len(s.Tallies))
	for i, t := range s.Tallies {
		if t != nil {
			values[i] = t.Failed(outcome)
			some = some || values[i] > 0
		}
	}
	return values, some
}

// Milliseconds are how long a share of the attempts took at most; nil where none was made.
func (s *Series) Milliseconds(share float64) []*float64 {
	out := make([]*float64, len(s.Tallies))
	for i, t := range s.Tallies {
		if t == nil {
			continue
		}
		if took, ok := t.Quantile(share); ok {
			ms := float64(took.Microseconds()) / 1000
			out[i] = &ms
		}
	}
	return out
}

// Of is what happened to a target, or to the relay, in a span: as the spool has it, with what each
// of some relays knows better.
func (k *Keeper) Of(lane spool.LaneID, span Span, now time.Time, parts ...Part) (Series, error) {
	first := span.number(minuteOf(now)) - int64(span.Points) + 1
	s := Series{From: time.Unix(first*int64(span.Step/time.Second), 0).UTC(), Step: span.Step,
		Tallies: make([]*Tally, span.Points)}
	slot, hour := span.pages(first)
	type key struct {
		by   string
		hour uint64
	}
	better := make(map[key]bool)
	for i := range parts {
		for _, p := range parts[i].Pages {
			better[key{parts[i].Relay, p.Number}] = true
			s.addPage(&span, p.Number, p.Body)
		}
		for _, f := range parts[i].Fresh {
			s.addPage(&Span{Step: time.Minute}, f.Number, f.Body)
		}
	}
	err := look.Tallies(k.Store.Records(), lane, slot, hour,
		func(hour uint64, by string, body []byte) {
			if !better[key{by, hour}] {
				s.addPage(&span, hour, body)
			}
		})
	return s, err
}

// pages says in which slot the pages of a span are, and which is the first, if that has a stretch
// of this number.
func (s *Span) pages(first int64) (slot uint8, hour uint64) {
	if s.Step == time.Hour {
		return slotDay, uint64(first - first%24)
	}
	return slotHour, uint64(first / 60)
}

// addPage adds what is in a page. What cannot be read is a gap.
func (s *Series) addPage(span *Span, hour uint64, body []byte) {
	p, err := decode(body)
	if err != nil {
		return
	}
	places := int64(60)
	if span.Step == time.Hour {
		places = 1
	}
	step := int64(s.Step / time.Minute)
	from := s.From.Unix() / 60
	for i := range p {
		minute := (int64(hour)*places + int64(p[i].place)) * int64(span.Step/time.Minute)
		n := (minute - from) / step
		if minute < from || n >= int64(len(s.Tallies)) {
			continue
		}
		if s.Tallies[n] == nil {
			s.Tallies[n] = new(Tally)
		}
		s.Tallies[n].Merge(&p[i].tally)
	}
}
