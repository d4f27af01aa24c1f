package console

import (
	"testing"

	"github.com/hookspool/hookspool/testenv"
	"github.com/hookspool/hookspool/testenv/effort"
)

// TestConsoleWhy asserts that the page of an event says why each delivery is where it is and what
// comes next, also of one that was never tried; that the list of a target says it too; and that one
// that nobody wanted says why.
func TestConsoleWhy(t *testing.T) {
	effort.OnlyLong(t, "it takes a browser")
	effort.WithoutRace(t)
	j := testenv.NewJourney(t)
	j.Config.Target("crm", j.RX.URL("crm"), "events", []string{"t"})
	j.Config.Target("erp", j.RX.URL("erp"), "events", []string{"t"})
	j.RX.Always("crm", testenv.Code(503))
	j.Start()
	j.Verb("pause", "erp")
	j.Send(testenv.Post{ID: "one", Type: "t", Body: []byte(`{}`)})
	j.AwaitFailed("crm", 1)
	j.Post(testenv.Post{ID: "none", Type: "x", Body: []byte(`{}`)})
	d := j.Why("one", "crm")
	c := openConsole(t, j.Relay, "#/event/one")
	for _, width := range []int64{1440, 768, 360} {
		c.screen(width, "light")
		c.see("W"+d.Why[1:], "Helps: hookspool sample crm, then hookspool retry crm",
			"Held: erp is paused; 145 tries left", "Helps: hookspool resume erp")
		c.notSee("succeeded at once")
		c.checkLook("event " + d.Target)
	}
	c.open("#/target/erp/pending")
	c.see("Held: erp is paused; 145 tries left")
	c.open("#/event/none")
	c.see("No target wanted it: crm: its events do not match x; erp: its events do not match x")
	c.notSee("Loading")
	j.Verb("resume", "erp")
}
