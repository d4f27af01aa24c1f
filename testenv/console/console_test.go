package console

import (
	"bytes"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/hookspool/hookspool/testenv"
	"github.com/hookspool/hookspool/testenv/effort"
)

// TestConsoleOverview asserts that a newcomer is told how to send the first event, with the address
// where the relay listens, and that from then on everything appears by itself: the event with where
// it is, the numbers of each target, the attempts, the countdown and the plots.
func TestConsoleOverview(t *testing.T) {
	effort.OnlyLong(t, "it takes a browser")
	effort.WithoutRace(t)
	j := testenv.NewJourney(t).Aim("crm", "erp")
	j.RX.Always("erp", testenv.Code(503))
	j.Start()
	c := openConsole(t, j.Relay, "")
	c.see("Ready", "No event yet", j.EventsURL()+"/v1/events", "crm", "erp", "Enabled",
		"every 1h", "live", "all 2 targets are well")
	c.until("a countdown", `/^(59:[0-9]{2}|1:00:00)$/.test(
		document.querySelector('section[aria-label="Next tick"] .figure').innerText)`)

	j.Send(testenv.Post{ID: "first", Type: "message", Body: []byte(`{"eventType":"message"}`)})
	c.notSee("No event yet")
	c.seeIn(`tr[data-key^="first"]`, "crm")
	c.until("the states of the deliveries", `document.querySelector('tr[data-key^="first"] `+
		`.chip.delivered[title="crm: delivered"]') && document.querySelector(`+
		`'tr[data-key^="first"] .chip.pending[title="erp: pending"]')`)
	c.seeIn(`tr[data-key="erp"]`, "answered 503 Service Unavailable")
	c.until("an attempt", `document.querySelector('tr[data-key^="first erp 0"] .outcome.bad')`)
	c.seeIn(`section[aria-label="Accepted"]`, "1 since the start")
	c.seeIn(`section[aria-label="Pending"]`, "1")
	c.until("an accepted rate", `document.querySelector('section[aria-label="Accepted"] .figure').
		innerText !== "0/s"`)
	c.until("five plots", `document.querySelectorAll(".plot canvas").length === 5 &&
		[...document.querySelectorAll(".plot canvas")].every((e) => e.width > 50)`)

	j.AwaitFailed("erp", 1)
	j.RX.Always("erp", testenv.OK())
	j.Verb("retry", "erp")
	c.until("both delivered", `document.querySelectorAll('tr[data-key^="first"] `+
		`.chip.delivered').length === 2`)
	if err := j.WriteConfig("[target.crm]\nurl = 7\n"); err != nil {
		t.Fatal(err)
	}
	j.Signal(syscall.SIGHUP)
	c.see("The config file has faults; the one before is still in use.")
	if code := j.Terminate(); code != 0 {
		t.Fatalf("the relay left with code %d", code)
	}
	c.expect("ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_CONNECTION_RESET",
		"ERR_EMPTY_RESPONSE")
	c.see("no answer")
}

// TestConsoleUnready asserts that a relay which takes no events says why.
func TestConsoleUnready(t *testing.T) {
	effort.OnlyLong(t, "it takes a browser")
	effort.WithoutRace(t)
	j := testenv.NewJourney(t).Aim("crm")
	j.Config.Set("spool.min_free_disk", "900TiB")
	if err := j.StartUnready(); err != nil {
		t.Fatal(err)
	}
	c := openConsole(t, j.Relay, "")
	c.see("Not ready")
	// Others use the disk meanwhile, so its figures are asked for again at every look.
	testenv.Until(t, testenv.Patience, "the console to show why", func() bool {
		reasons := j.Status().Unready
		for _, reason := range reasons {
			if !eval[bool](c, shown+`.innerText.includes(%s)`, quote("Not ready: "+reason)) {
				return false
			}
		}
		return len(reasons) > 0
	})
}

// TestConsoleFaultsAreHeard asserts that the other tests would notice an exception, an error on the
// browser's console and a style that the policy forbids.
func TestConsoleFaultsAreHeard(t *testing.T) {
	effort.OnlyLong(t, "it takes a browser")
	effort.WithoutRace(t)
	j := testenv.NewJourney(t).Aim("crm")
	j.Start()
	c := openConsole(t, j.Relay, "")
	c.see("live")
	eval[any](c, `(document.body.setAttribute("style", "color: red"), console.error("an error"),
		setTimeout(() => { throw new Error("an exception"); }), 0)`)
	for _, words := range []string{"Content Security Policy", "an error", "an exception"} {
		testenv.Until(t, testenv.Patience, "the browser to complain: "+words, func() bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			return strings.Contains(strings.Join(c.faults, "\n"), words)
		})
		c.expect(words)
	}
}

// TestConsoleTarget asserts that a target's view shows its attempts with what came back, follows new
// ones, and lists its deliveries by state, page by page.
func TestConsoleTarget(t *testing.T) {
	effort.OnlyLong(t, "it takes a browser")
	effort.WithoutRace(t)
	j := testenv.NewJourney(t).Aim("erp")
	j.Config.Set("retry.max_attempts", 1)
	j.RX.Always("erp", testenv.Code(503))
	j.Start()
	j.SendIDs("dead", 60)
	j.RX.Await("erp", 60)
	c := openConsole(t, j.Relay, "")
	c.click("erp")
	c.see("answered 503", "60", "60 accepted", "Latency", "p99", "/erp")
	c.until("50 attempts", `document.querySelectorAll(".cards:not(.failing) tbody tr").length === 50`)
	c.clickOn("an attempt", `document.querySelector(".outcome").closest("summary")`)
	c.see("the receiver says 503", "from 127.0.0.1")

	c.clickOn("Pending", `document.querySelector(".tabs a:nth-child(2)")`)
	c.seeIn(".cards:not(.failing) tbody", "dead-0")
	c.until("a page", `document.querySelectorAll(".cards:not(.failing) tbody tr").length === 50`)
	c.click("More")
	c.see("That is all.")
	c.until("all", `document.querySelectorAll(".cards:not(.failing) tbody tr").length === 60`)

	j.AwaitFailed("erp", 60)
	j.Verb("retry", "erp")
	c.see("The list has changed since.")
	c.click("Refresh")
	c.see("No pending delivery.")
	c.clickOn("Exhausted", `document.querySelector(".tabs a:nth-child(3)")`)
	c.seeIn(".cards:not(.failing) tbody", "dead-0")
	c.seeIn(".cards:not(.failing) tbody", "answered 503 Service Unavailable")

	j.RX.Always("erp", testenv.OK())
	j.Send(testenv.Post{ID: "well", Body: []byte(`{"eventType":"message"}`)})
	c.clickOn("Delivered", `document.querySelector(".tabs a:nth-child(4)")`)
	c.seeIn(".cards:not(.failing) tbody", "well")
	c.clickOn("Attempts", `document.querySelector(".tabs a:nth-child(1)")`)
	c.seeIn(".cards:not(.failing) tbody tr", "well")
	j.Send(testenv.Post{ID: "newer", Body: []byte(`{"eventType":"message"}`)})
	c.seeIn(".cards:not(.failing) tbody tr", "newer")
	c.clickOn("the event", `document.querySelector(".cards:not(.failing) a.id")`)
	c.seeIn("h1", "newer")
}

// TestConsoleEvent asserts that an event's view shows its payload, laid out and as it was sent, whom
// it was for, every attempt, and follows it until it is delivered; and that it can be replayed.
func TestConsoleEvent(t *testing.T) {
	effort.OnlyLong(t, "it takes a browser")
	effort.WithoutRace(t)
	const id = "order/7 ü#%"
	body := []byte(`{"eventType":"message","n":10000000000000001,"deep":{"list":[1,2],"none":[]},` +
		`"html":"<b onclick=\"x\">&amp;</b>"}`)
	j := testenv.NewJourney(t).Aim("crm", "erp")
	j.RX.Always("erp", testenv.Code(500))
	j.Start()
	j.Send(testenv.Post{ID: url.PathEscape(id), Body: body})
	sent := url.PathEscape(id)
	j.RX.AwaitID("erp", sent)
	c := startBrowser(t, "http://"+j.AdminAddress()+"/")
	downloads := t.TempDir()
	if _, err := chromedp.CallBrowser(c.ctx, browser.SetDownloadBehavior,
		browser.SetDownloadBehaviorParams{Behavior: "allow", DownloadPath: downloads}); err != nil {
		t.Fatal(err)
	}
	c.open("")
	c.fill("Event id", sent+"\r")
	c.seeIn("h1", sent)
	c.see(`"n": 10000000000000001,`, "    \"list\": [\n      1,\n      2\n    ],", `"none": []`,
		`<b onclick=\"x\">&amp;</b>`, "application/json", "answered 500", "delivered", "pending")
	c.click("As sent")
	c.see(string(body))
	c.click("Download")
	var saved []byte
	testenv.Until(t, testenv.Patience, "the download", func() bool {
		names, _ := filepath.Glob(filepath.Join(downloads, "*.payload"))
		if len(names) == 1 {
			saved, _ = os.ReadFile(names[0])
		}
		return len(saved) == len(body)
	})
	if !bytes.Equal(saved, body) {
		t.Errorf("downloaded %q, want %q", saved, body)
	}

	j.AwaitFailed("erp", 1)
	j.RX.Always("erp", testenv.OK())
	j.Verb("retry", "erp")
	c.notSee("pending")
	c.click("Replay to erp")
	c.see("Replay to erp")
	c.click("Count")
	c.see("1 delivery would be replayed.")
	c.click("Replay 1")
	c.see("1 delivery replayed.")
	c.click("Close")
	j.RX.Await("erp", 3)
	c.notSee("pending")
	c.click("Replay…")
	c.see("Replay to crm, erp")
	c.click("Count")
	c.see("2 deliveries would be replayed.")
	c.click("Close")
}

// TestConsolePayloads asserts that a payload which is no text, or empty, is no trouble.
func TestConsolePayloads(t *testing.T) {
	effort.OnlyLong(t, "it takes a browser")
	effort.WithoutRace(t)
	j := testenv.NewJourney(t).Aim("crm")
	j.Start()
	j.Send(testenv.Post{ID: "binary", ContentType: "application/octet-stream",
		Body: []byte{0, 255, 254}})
	j.Send(testenv.Post{ID: "plain", ContentType: "text/plain", Body: []byte("a = {not json\n")})
	c := openConsole(t, j.Relay, "#/event/binary")
	c.see("These bytes are no text.", "Download", "3 B")
	c.open("#/event/plain")
	c.see("a = {not json")
}

// TestConsoleSearch asserts that events are found by type, target, state, time and id, that a long
// result comes in pages, and that what cannot be understood is told.
func TestConsoleSearch(t *testing.T) {
	effort.OnlyLong(t, "it takes a browser")
	effort.WithoutRace(t)
	j := testenv.NewJourney(t).Aim("crm")
	j.Config.Target("erp", j.RX.URL("erp"), "events", []string{"order*"})
	j.RX.Always("erp", testenv.Code(503))
	j.Start()
	j.SendIDs("many", 70)
	for _, typ := range []string{"orderPaid", "orderSent"} {
		j.Send(testenv.Post{ID: typ + "-1", Type: typ, Body: []byte(`{}`)})
		j.RX.AwaitID("erp", typ+"-1")
	}
	c := openConsole(t, j.Relay, "")
	c.click("Search")
	want := func(n int) {
		t.Helper()
		c.until(fmt.Sprintf("%d events", n),
			`document.querySelectorAll("section.panel tbody tr").length === %d`, n)
	}
	want(50)
	c.click("More")
	want(72)
	c.fill("Type", "order*")
	c.clickOn("Search", `document.querySelector("form.fields button")`)
	want(2)
	c.seeIn(".cards tbody", "orderSent-1")
	c.choose("Target", "erp")
	c.choose("State", "delivered")
	c.clickOn("Search", `document.querySelector("form.fields button")`)
	c.see("No event matches")
	c.choose("State", "pending")
	c.fill("Type", "orderPaid")
	c.fill("Accepted since", "1h\r")
	want(1)
	if hash := eval[string](c, "location.hash"); !strings.Contains(hash, "state=pending") {
		t.Errorf("the search is not in the address: %s", hash)
	}
	c.fill("Accepted since", "yesterday-ish\r")
	c.see("neither like 15m nor an instant")
	c.fill("Accepted since", "")
	c.fill("Until", "1h\r")
	c.see("No event matches")
	c.click("Reset")
	want(50)
	c.fill("Id", "orderPaid-1\r")
	c.seeIn("h1", "orderPaid-1")
}

// TestConsoleActions clicks every action on a target, first away and then through, and asserts that
// its result is seen and true.
func TestConsoleActions(t *testing.T) {
	effort.OnlyLong(t, "it takes a browser")
	effort.WithoutRace(t)
	j := testenv.NewJourney(t).Aim("erp")
	j.Config.Set("defect.after_failed_jobs", 1)
	j.RX.Always("erp", testenv.Code(503))
	j.Start()
	j.SendIDs("e", 3)
	j.RX.Await("erp", 3)
	c := openConsole(t, j.Relay, "#/target/erp")
	c.click("Sample…")
	c.choose("Event type", "contactRequestTyping")
	c.click("Send sample")
	c.see("Not acknowledged", "503", "contactRequestTyping", "HTTP/1.1 503 Service Unavailable",
		"127.0.0.1:", "the receiver says 503", "none", " ms")
	if r := j.RX.Await("erp", 4)[3]; !r.Sample || r.Type != "contactRequestTyping" {
		t.Errorf("the receiver got %s, sample %t", r.Type, r.Sample)
	}
	c.click("Close")

	for range 2 {
		c.click("Retry now…")
		c.see("runs a job now")
		c.click("Retry now")
		c.see("tried, 0 acknowledged (503 ×")
		c.click("Close")
	}
	j.AwaitStatus("erp", "Defective")
	c.seeIn("header.head", "Defective")
	j.RX.Always("erp", testenv.OK())
	c.see("Lift by force…")
	c.click("Retry now…")
	c.see("its first success lifts a defect")
	c.click("Retry now")
	c.see("acknowledged; Enabled.")
	c.click("Close")
	j.AwaitPending("erp", 0)

	c.click("Pause…")
	c.see("nothing is sent until you resume")
	c.click("Cancel")
	if status := j.Target("erp").Status; status != "Enabled" {
		t.Errorf("a cancelled pause made it %s", status)
	}
	c.click("Pause…")
	c.click("Pause")
	c.see("erp is Paused")
	c.click("Close")
	c.seeIn("header.head", "Paused")
	c.see("Paused since", "Paused by")
	for _, told := range []string{"pause", "console", "retry", "sample", "acknowledged; Enabled"} {
		c.seeIn("section[aria-label=Actions]", told)
	}
	j.SendIDs("held", 2)
	j.AwaitPending("erp", 2)
	c.click("Resume…")
	c.click("Resume")
	c.see("erp is Enabled")
	c.click("Close")
	j.AwaitPending("erp", 0)
	c.seeIn("header.head", "Enabled")
}

// TestConsolePrograms asserts that a target's view shows its programs, and that a sample shows what
// its transform was given and what it made of that, or why it made nothing.
func TestConsolePrograms(t *testing.T) {
	effort.OnlyLong(t, "it takes a browser")
	effort.WithoutRace(t)
	j := testenv.NewJourney(t)
	program := func(transform string) {
		j.Config.Target("erp", j.RX.URL("erp"), "where", `.n > 1`, "transform", transform)
	}
	program(`{kind: $type, from: .waId}`)
	j.Start()
	c := openConsole(t, j.Relay, "#/target/erp")
	c.see("where .n > 1", "transformed by {kind: $type, from: .waId}")
	c.click("Sample…")
	c.choose("Event type", "contactRequestTyping")
	c.click("Send sample")
	c.see("Acknowledged", "Before the transform", `{"from":`, `"kind":"contactRequestTyping"}`)
	c.click("Close")
	program(`empty`)
	j.Reload()
	c.see("transformed by empty")
	c.click("Sample…")
	c.click("Send sample")
	c.see("Not acknowledged: cannot transform the event: it gives no result", "Before the transform")
	if n := j.RX.Count("erp"); n != 1 {
		t.Errorf("%d requests for one sample that could be made", n)
	}
}

// TestConsolePurge asserts that a purge counts first and happens only when the name was typed.
func TestConsolePurge(t *testing.T) {
	effort.OnlyLong(t, "it takes a browser")
	effort.WithoutRace(t)
	j := testenv.NewJourney(t).Aim("erp")
	j.Config.Set("target.erp.status", "paused")
	j.Start()
	for i := range 12 {
		j.Relay.Post(testenv.Post{ID: fmt.Sprintf("p-%d", i), Body: []byte(`{}`)}) // they will be purged
	}
	c := openConsole(t, j.Relay, "#/target/erp")
	c.click("Purge…")
	c.choose("State", "pending")
	c.click("Count")
	c.see("12 deliveries would be deleted.", "Purge 12")
	if c.enabled("Purge 12") {
		t.Error("it can be purged before the name is typed")
	}
	c.fill("Type the target's name to confirm", "er")
	if c.enabled("Purge 12") {
		t.Error("it can be purged with another name")
	}
	c.press("p")
	c.click("Purge 12")
	c.see("12 deliveries deleted.")
	c.click("Close")
	if n := j.Target("erp").Pending; n != 0 {
		t.Errorf("%d are pending", n)
	}
}

// TestConsoleReplay asserts that a replay counts first, shows how far it is, can be stopped between
// two pages and goes on where it was left.
func TestConsoleReplay(t *testing.T) {
	effort.OnlyLong(t, "it takes a browser")
	effort.WithoutRace(t)
	const n = 250
	j := testenv.NewJourney(t).Aim("crm")
	j.Start()
	j.SendIDs("e", n)
	j.RX.Await("crm", n)
	c := openConsole(t, j.Relay, "#/target/crm")
	c.see("live")
	// Each call takes long enough to be seen and stopped.
	eval[any](c, `(() => { const real = window.fetch; window.slow = 200; window.fetch = (...args) =>
		new Promise((go) => setTimeout(go, args[1]?.method === "POST" ? window.slow : 0))
			.then(() => real(...args)); })()`)
	c.click("Replay…")
	c.click("Count")
	c.see("There is nothing to replay.")
	c.choose("State", "delivered")
	c.click("Count")
	c.see(fmt.Sprintf("%d deliveries would be replayed.", n))
	eval[any](c, `window.slow = 1500`)
	c.click(fmt.Sprintf("Replay %d", n))
	c.see("Replaying… 100 of 250")
	c.click("Stop")
	c.see("200 deliveries replayed; stopped")
	eval[any](c, `window.slow = 0`)
	c.click("Count")
	c.see("50 deliveries would be replayed.")
	c.click("Replay 50")
	c.see("50 deliveries replayed.")
	c.click("Close")
	j.RX.Await("crm", 2*n) // the last page of a replay runs a job
	j.AwaitPending("crm", 0)
}

// TestConsoleGone asserts that a view of, and an action on, a target or event that is gone says so
// and what to do.
func TestConsoleGone(t *testing.T) {
	effort.OnlyLong(t, "it takes a browser")
	effort.WithoutRace(t)
	j := testenv.NewJourney(t).Aim("crm", "gone")
	j.Start()
	c := openConsole(t, j.Relay, "#/target/gone")
	c.expect("status of 404")
	c.see("Pause…", "live")
	j.Config.Remove("target.gone")
	j.Reload()
	c.see("There is no target “gone” any more.")
	for _, action := range []struct{ open, do string }{
		{"Sample…", "Send sample"}, {"Pause…", "Pause"}, {"Retry now…", "Retry now"},
		{"Replay…", "Count"}, {"Purge…", "Count"},
	} {
		c.click(action.open)
		c.click(action.do)
		c.see(`There is no target "gone"`, "targets lists them")
		c.click("Close")
	}
	c.open("#/target/never")
	c.see(`There is no target "never"`, "GET /v1/targets")
	c.open("#/event/never")
	c.see(`There is no event "never"`, "spool.keep_delivered")
	c.open("#/nothing")
	c.see("There is no such view")
}

// TestConsoleToken asserts that nothing is shown without the admin token, that a browser which has it
// gets everything, and that a page whose token is refused later asks for the new one and goes on.
func TestConsoleToken(t *testing.T) {
	effort.OnlyLong(t, "it takes a browser")
	effort.WithoutRace(t)
	j := testenv.NewJourney(t).Aim("crm")
	j.Config.Set("server.admin_token", "the-first-token-of-two")
	j.Start()
	c := startBrowser(t, "http://any:the-first-token-of-two@"+j.AdminAddress()+"/")
	c.open("")
	c.see("Ready", "live")
	c.click("crm")
	c.see("Pause…")
	c.expect("status of 401") // the page asks by itself, as soon as the stream ends
	j.Config.Set("server.admin_token", "the-second-token-of-two")
	if err := j.WriteConfig(j.Config.String()); err != nil {
		t.Fatal(err)
	}
	if code, body := j.Admin("POST", "/v1/reload"); code != 200 {
		t.Fatalf("reload: %d %s", code, body)
	}
	j.UseAdminToken("the-second-token-of-two")
	c.see("Admin token")
	c.fill("Token", "a-wrong-one\r")
	c.see("The relay refused that token.")
	c.press("\x1b")
	c.clickOn("Pending", `document.querySelector(".tabs a:nth-child(2)")`)
	c.see("The admin token is needed")
	c.click("Enter token")
	c.fill("Token", "the-second-token-of-two")
	c.click("Continue")
	c.see("Pause…")
	c.click("Overview")
	j.Send(testenv.Post{ID: "after", Body: []byte(`{"eventType":"message"}`)})
	c.seeIn(`tr[data-key^="after"]`, "crm")
	c.click("crm")
	c.click("Sample…")
	c.click("Send sample")
	c.see("Acknowledged")
	c.click("Close")
}

// TestConsolePolls asserts that without the stream everything is asked for instead, and that a hidden
// tab asks for nothing until it is seen again.
func TestConsolePolls(t *testing.T) {
	effort.OnlyLong(t, "it takes a browser")
	effort.WithoutRace(t)
	j := testenv.NewJourney(t).Aim("crm")
	j.Config.Set("retry.interval", "2500ms")
	j.Start()
	c := startBrowser(t, "http://"+j.AdminAddress()+"/")
	mustCall(c, network.Enable, network.EnableParams{})
	mustCall(c, network.SetBlockedURLs, network.SetBlockedURLsParams{
		URLPatterns: []*network.BlockPattern{{URLPattern: "http://*:*/v1/stream", Block: true}}})
	c.expect("ERR_BLOCKED_BY_CLIENT", "v1/stream")
	c.open("")
	c.see("every 2 s")
	j.Send(testenv.Post{ID: "polled", Body: []byte(`{"eventType":"message"}`)})
	c.seeIn(`tr[data-key^="polled"]`, "crm")

	hide := func(hidden bool) {
		eval[any](c, `(Object.defineProperty(document, "hidden", { value: %t, configurable: true }),
			document.dispatchEvent(new Event("visibilitychange")), 0)`, hidden)
	}
	hide(true)
	c.see("paused")
	count := `performance.getEntriesByType("resource").length`
	c.until("calls under way to end", `(() => { const n = %s; const same = n === window.testCalls;
		window.testCalls = n; return same; })()`, count)
	before := eval[int](c, "%s", count)
	j.Send(testenv.Post{ID: "unseen", Body: []byte(`{"eventType":"message"}`)})
	j.AwaitTicks(2) // the second one takes longer than the time between two polls
	if now := eval[int](c, "%s", count); now != before {
		t.Errorf("a hidden tab made %d calls", now-before)
	}
	hide(false)
	c.seeIn(`tr[data-key^="unseen"]`, "crm")
}

// TestConsoleLook asserts that every view and dialog fits a phone, a tablet and a desk, in both color
// schemes, and that everything that can be operated has a name.
func TestConsoleLook(t *testing.T) {
	effort.OnlyLong(t, "it takes a browser")
	effort.WithoutRace(t)
	j := testenv.NewJourney(t).Aim("crm", "a-target-with-a-rather-long-name-in-the-config")
	j.RX.Always("crm", testenv.Code(503))
	j.Start()
	long := strings.Repeat("an-id-as-long-as-some-senders-make-them-", 4)
	j.Send(testenv.Post{ID: long, Type: "aTypeThatIsLongerThanMostTypesAreInTheCatalogue",
		Body: []byte(`{"text":"` + strings.Repeat("endless", 100) + `"}`)})
	j.RX.AwaitID("crm", long)
	c := startBrowser(t, "http://"+j.AdminAddress()+"/")
	views := []struct{ view, sees string }{
		{"", long}, {"#/target/crm", long}, {"#/target/crm/pending", long},
		{"#/event/" + long, "Payload"}, {"#/search", long}, {"#/target/none", "no target"},
		{"#/conversation/491", "No event of it is kept"},
	}
	c.expect("status of 404")
	back := map[string]string{}
	for _, scheme := range []string{"light", "dark"} {
		for _, width := range widths() {
			c.screen(width, scheme)
			for _, v := range views {
				c.open(v.view)
				c.see(v.sees)
				c.checkLook(fmt.Sprintf("%q at %d px", v.view, width))
			}
			c.open("#/target/crm")
			for _, dialog := range []string{"Sample…", "Pause…", "Replay…", "Purge…"} {
				c.click(dialog)
				c.checkLook(fmt.Sprintf("%s at %d px", dialog, width))
				c.click("Close")
			}
		}
		back[scheme] = eval[string](c, `getComputedStyle(document.documentElement).backgroundColor`)
	}
	if back["light"] == back["dark"] {
		t.Errorf("both schemes have the background %s", back["light"])
	}
}

// checkLook measures what is on the screen.
func (c *console) checkLook(what string) {
	c.t.Helper()
	if over := eval[int](c, `document.documentElement.scrollWidth -
		document.documentElement.clientWidth`); over > 0 {
		c.t.Errorf("%s: the page is %d px too wide", what, over)
	}
	if over := eval[int](c, shown+`.scrollWidth - `+shown+`.clientWidth`); over > 0 {
		c.t.Errorf("%s: what is shown is %d px too wide", what, over)
	}
	nameless := eval[string](c, `[...document.querySelectorAll("button, a, input, select, dialog")]
		.filter((e) => e.checkVisibility() && !(e.innerText.trim() && !e.matches("input, select")) &&
			!e.getAttribute("aria-label") && !e.labels?.length && !e.getAttribute("aria-labelledby"))
		.map((e) => e.outerHTML.slice(0, 200)).join("\n")`)
	if nameless != "" {
		c.t.Errorf("%s: without a name:\n%s", what, nameless)
	}
	if n := eval[int](c, `document.querySelectorAll("h1").length`); n != 1 {
		c.t.Errorf("%s: %d h1", what, n)
	}
}

// TestConsoleKeyboard asserts that everything can be done without a mouse: skip to the content, walk
// to a target, open a dialog, leave it by Escape and be where one was.
func TestConsoleKeyboard(t *testing.T) {
	effort.OnlyLong(t, "it takes a browser")
	effort.WithoutRace(t)
	j := testenv.NewJourney(t).Aim("crm")
	j.Start()
	c := openConsole(t, j.Relay, "")
	c.see("crm", "live")
	focused := func() string {
		return eval[string](c, `(document.activeElement.innerText ||
			document.activeElement.getAttribute("aria-label") || document.activeElement.id).trim()`)
	}
	tabTo := func(name string) {
		t.Helper()
		for range 40 {
			c.press("\t")
			if focused() == name {
				if !eval[bool](c, `document.activeElement.matches(":focus-visible") &&
					getComputedStyle(document.activeElement).outlineStyle !== "none"`) {
					t.Errorf("the focus on %q is not seen", name)
				}
				return
			}
		}
		t.Fatalf("the tab key does not reach %q", name)
	}
	tabTo("Skip to content")
	c.press("\r")
	c.until("the focus in the content", `document.activeElement.id === "main"`)
	tabTo("crm")
	c.press("\r")
	c.seeIn("h1", "crm")
	c.until("the focus on the title", `document.activeElement.tagName === "H1"`)
	tabTo("Pause…")
	c.press("\r")
	c.see("nothing is sent until you resume")
	tabTo("Pause")
	c.press("\r")
	c.see("crm is Paused")
	c.until("the focus on Close", `document.activeElement.innerText === "Close"`)
	c.press("\x1b")
	c.until("the dialog to close", `!document.querySelector("dialog")`)
	c.seeIn("header.head", "Paused")
}
