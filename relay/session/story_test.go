package session

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/valyala/fastjson"

	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/spool"
)

// A story tells what Apply did, whatever happens in which order, over many windows, and also when it
// is told in pieces.
func TestStoryIsApply(t *testing.T) {
	const window = time.Hour
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		m := &notes{kept: map[string]string{}}
		s := &Story{Window: window}
		now := time.Unix(1_700_000_000, 0)
		for i := range 200 {
			// Also a clock that is set back a little, and an instant exactly a window later.
			now = now.Add([]time.Duration{time.Minute, -time.Second, window, window - 1, 7 * time.Minute,
				25 * time.Minute}[r.IntN(6)])
			side := Side(r.IntN(3))
			want := Apply(m, &Talk{Keys: []string{"waId=1"}, Side: side}, now, window)
			if r.IntN(4) == 0 {
				again, ok := ParseStory(s.String(), window)
				if !ok {
					t.Fatalf("%s cannot be read", s)
				}
				s = again
			}
			step := s.Next(side, now)
			known := Recall(m, "waId=1", now, window)
			if step.State != want || !step.Until.Equal(known.Until(now, window)) {
				t.Fatalf("seed %d, event %d: the story says %v until %s, it is %v until %s", seed, i,
					step.State, step.Until, want, known.Until(now, window))
			}
			if step.Activated && step.State != spool.SessionActive ||
				step.Opened && side != SideBusiness {
				t.Fatalf("seed %d, event %d: %+v by side %d", seed, i, step, side)
			}
		}
	}
}

// A story that begins in the middle is set right where the last increment began.
func TestStoryAnchor(t *testing.T) {
	const window = 24 * time.Hour
	start := time.Unix(1_700_000_000, 0)
	m := &notes{kept: map[string]string{}}
	said := func(hour int) time.Time { return start.Add(time.Duration(hour) * time.Hour) }
	for hour := range 60 {
		Apply(m, &Talk{Keys: []string{"waId=1"}, Side: SideBusiness}, said(hour), window)
	}
	known := Recall(m, "waId=1", said(59), window)
	if !known.Opened.Equal(said(48)) {
		t.Fatalf("it was opened at %s", known.Opened)
	}
	s := &Story{Window: window, Anchor: known.Opened}
	var opened []int
	for hour := 10; hour < 60; hour++ {
		if step := s.Next(SideBusiness, said(hour)); step.Opened {
			opened = append(opened, hour)
		}
	}
	if !slices.Equal(opened, []int{10, 34, 48}) {
		t.Errorf("increments were opened at %v", opened)
	}
	if _, ok := ParseStory("1,x", window); ok {
		t.Error("1,x is no story")
	}
}

// fields is what a payload has at its top.
type fields struct{ v *fastjson.Value }

// At is part of Payload.
func (f fields) At(path string) *fastjson.Value { return f.v.Get(path) }

func payloadOf(t *testing.T, text string) Payload {
	t.Helper()
	v, err := fastjson.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return fields{v}
}

// A key finds the events of a conversation by any of its names, and those of no other.
func TestFinder(t *testing.T) {
	cfg := &config.Session{Enabled: true, KeyFields: []string{"conversationId", "waId"},
		Window: time.Hour}
	m := &notes{kept: map[string]string{}}
	now := time.Unix(1_700_000_000, 0)
	Apply(m, &Talk{Keys: []string{"conversationId=c", "waId=1"}, Side: SideUser}, now, cfg.Window)
	Apply(m, &Talk{Keys: []string{"waId=2"}, Side: SideUser}, now, cfg.Window)
	f := func(key string, want ...string) {
		t.Helper()
		finder := NewFinder(cfg, m, Names(cfg, key))
		for _, text := range []string{`{"conversationId":"c"}`, `{"waId":1}`, `{"waId":"2"}`, `{}`} {
			_, got := finder.Find("message", payloadOf(t, text))
			found := false
			for _, w := range want {
				found = found || w == text
			}
			if got != found {
				t.Errorf("%s finds %s: %t", key, text, got)
			}
		}
	}
	both := []string{`{"conversationId":"c"}`, `{"waId":1}`}
	f("c", both...)
	f("1", both...)
	f("waId=1", both...)
	f("2", `{"waId":"2"}`)
	f("conversationId=2")
	f("other=1")
}
