package console

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/hookspool/hookspool/testenv"
	"github.com/hookspool/hookspool/testenv/effort"
)

// TestConsoleTypes clicks through the catalogue: list, one type, the requests, an edited sample; and
// through the attempts at an event, with what was sent and answered.
func TestConsoleTypes(t *testing.T) {
	effort.OnlyLong(t, "it takes a browser")
	effort.WithoutRace(t)
	j := testenv.NewJourney(t).Aim("all")
	j.Config.Target("live", j.RX.URL("live"), "events", []string{"mess*"}, "session", "active")
	j.Config.Set("retry.interval", "50ms").Set("retry.max_attempts", 7)
	j.RX.On("all", func(r *testenv.Request) testenv.Reply {
		if r.Sample {
			return testenv.OK()
		}
		return testenv.Code(http.StatusTeapot)
	})
	j.Start()
	j.Send(testenv.Post{ID: "order-17", ContentType: "application/json",
		Body: []byte(`{"eventType":"message"}`)})
	j.RX.Await("all", 8)
	c := openConsole(t, j.Relay, "#/types")
	c.see("Event types", "templateMessageSent_v2", "the user sends a message of any kind")
	for _, width := range widths() {
		c.screen(width, "light")
		c.checkLook(fmt.Sprint("types at ", width))
	}
	c.click("message")
	c.seeIn("h1", "message")
	c.see("Who would get it", "only of a session that is active", "messageContact", "Rosa Almeida")
	c.screen(360, "dark")
	c.checkLook("a type at 360")
	c.screen(1280, "light")
	c.click("Explain: show the requests")
	c.see("POST /all HTTP/1.1", "no business message has opened a session")
	c.click("Send to a target…")
	c.choose("Target", "all")
	c.click("Edit the payload")
	c.until("the payload", `document.querySelector("#sample-payload").value.includes("Rosa")`)
	c.checkLook("the dialog")
	eval[any](c, `document.querySelector("#sample-payload").select()`)
	c.press(`{"edited":true}`)
	c.click("Send sample")
	c.see("Acknowledged")
	all := j.RX.Requests("all")
	if r := all[len(all)-1]; string(r.Body) != `{"edited":true}` || r.Type != "message" || !r.Sample {
		t.Errorf("%q of type %q came", r.Body, r.Type)
	}
	c.click("Close")
	c.open("#/event/order-17")
	c.see("I'm a teapot")
	c.until("the heads", // the list may be drawn again meanwhile
		`(document.querySelectorAll("details").forEach((e) => { e.open = true; }),
		document.body.innerText.includes("HTTP/1.1 418"))`)
	c.see("Sent", "POST "+j.RX.URL("all"), "webhook-attempt: 0", "Answered", "HTTP/1.1 418",
		"Copy as curl", "Copy as command")
	c.screen(360, "light")
	c.checkLook("attempts at 360")
}
