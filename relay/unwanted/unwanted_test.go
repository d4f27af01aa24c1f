package unwanted

import (
	"fmt"
	"strings"
	"testing"
)

// TestMemory asserts that the newest are remembered, as many as there may be, and that an id that
// came again is the newest of it.
func TestMemory(t *testing.T) {
	t.Parallel()
	var m Memory
	if _, is := m.Find("0"); is {
		t.Error("an empty memory remembers something")
	}
	for i := range Most + 10 {
		m.Note(Event{ID: fmt.Sprint(i), Type: "a"}, 0)
	}
	for i := range Most + 10 {
		if e, is := m.Find(fmt.Sprint(i)); is != (i >= 10) || is && e.ID != fmt.Sprint(i) {
			t.Errorf("%d is remembered: %v", i, is)
		}
	}
	m.Note(Event{ID: "20", Type: "b", ContentType: strings.Repeat("x", nameBytesMax+1)}, 0)
	if e, _ := m.Find("20"); e.Type != "b" || e.ContentType != "" {
		t.Errorf("the newest is %+v", e)
	}
}

// TestMemoryBytes asserts that what is remembered has a bound in bytes, and that one that is larger
// than all of it is remembered alone.
func TestMemoryBytes(t *testing.T) {
	t.Parallel()
	var m Memory
	for i := range 100 {
		m.Note(Event{ID: fmt.Sprint(i)}, bytesMax/10)
		if m.bytes > bytesMax || m.next-m.first > 10 {
			t.Fatalf("%d with %d bytes", m.next-m.first, m.bytes)
		}
	}
	m.Note(Event{ID: "large"}, 2*bytesMax)
	if _, is := m.Find("large"); !is || m.next-m.first != 1 {
		t.Errorf("the large one is remembered: %v, beside %d", is, m.next-m.first)
	}
	m.Note(Event{ID: "small"}, 0)
	if _, is := m.Find("large"); is || m.bytes > 1000 {
		t.Errorf("the large one is remembered: %v, with %d bytes", is, m.bytes)
	}
}

// TestMemoryJudges asserts that only the last configurations are kept alive by it.
func TestMemoryJudges(t *testing.T) {
	t.Parallel()
	var m Memory
	judges := make([]int, judgesMax+2)
	for i := range judges {
		m.Note(Event{ID: fmt.Sprint(i), By: &judges[i]}, 0)
		m.Note(Event{ID: "first again", By: &judges[0]}, 0)
	}
	held := 0
	for i := range judges {
		if e, is := m.Find(fmt.Sprint(i)); is {
			held++
			if e.By != &judges[i] {
				t.Errorf("%d was judged by another", i)
			}
		}
	}
	if held != judgesMax || len(m.judges) != judgesMax {
		t.Errorf("%d are remembered by %d judges, want %d", held, len(m.judges), judgesMax)
	}
	if _, is := m.Find("first again"); !is {
		t.Error("what a judge leaves goes although it judges still")
	}
}

func BenchmarkNote(b *testing.B) {
	var m Memory
	judge := new(int)
	e := Event{ID: "evt_06fmgvrx0g00000000004i3m5qk2c", Type: "message", By: judge}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			m.Note(e, 0)
		}
	})
}
