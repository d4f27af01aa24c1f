package relay

import (
	"fmt"
	"slices"
	"testing"

	"github.com/hookspool/hookspool/relay/config"
)

// routerOf makes a router for targets with the given events.
func routerOf(events ...[]config.Pattern) *router {
	lanes := make([]*lane, len(events))
	for i, patterns := range events {
		lanes[i] = &lane{}
		lanes[i].work.Store(&work{target: &config.Target{Events: patterns}})
	}
	return newRouter(lanes)
}

// Every answer is given twice: found, and remembered.
func TestRouterMatch(t *testing.T) {
	r := routerOf([]config.Pattern{"message", "mess*"}, []config.Pattern{"*"},
		[]config.Pattern{"templateMessage*"}, []config.Pattern{"message"})
	f := func(typ string, want ...int) {
		t.Helper()
		for range 2 {
			if got := r.match(typ); !slices.Equal(got, want) {
				t.Errorf("%q goes to %v, want %v", typ, got, want)
			}
		}
	}
	f("message", 0, 1, 3)
	f("messages", 0, 1)
	f("Message", 1)
	f("templateMessageSent_v2", 1, 2)
	f("", 1)
}

// A stranger who sends a new type each time neither fills the memory nor is matched wrongly.
func TestRouterForgets(t *testing.T) {
	r := routerOf([]config.Pattern{"t1*"})
	for i := range 3 * knownMax {
		typ := fmt.Sprintf("t%d", i)
		if got, want := len(r.match(typ)) > 0, typ[:2] == "t1"; got != want {
			t.Fatalf("%q is wanted: %v", typ, got)
		}
	}
	if len(r.known) > knownMax {
		t.Errorf("%d types are remembered", len(r.known))
	}
}
