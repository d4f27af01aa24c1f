package console

import (
	"testing"

	"github.com/hookspool/hookspool/testenv"
	"github.com/hookspool/hookspool/testenv/effort"
)

// TestConsoleHistory asserts that after a restart the charts of a target are there when its page
// opens, that a click on a bar is a search for what was accepted then, that the spans can be
// chosen, that what fails is shown by what came back, and that the overview begins with the last
// hour.
func TestConsoleHistory(t *testing.T) {
	effort.OnlyLong(t, "it takes a browser")
	effort.WithoutRace(t)
	j := testenv.NewJourney(t).Aim("crm", "erp")
	j.RX.Always("erp", testenv.Answering(503, "<title>Out of order</title>"))
	j.Start()
	j.SendIDs("a", 20)
	j.AwaitFailed("erp", 20)
	j.WantHistory("erp", "20 accepted, 0 delivered, 20 status")
	j.Restart()

	c := openConsole(t, j.Relay, "#/target/erp")
	c.see("20 accepted · 0 delivered · 20 failed: 20 status", "Most failures:", "What fails now",
		"Status 503", "Out of order")
	c.seeIn(`section[aria-labelledby="failing-title"] tbody tr`, "20")
	c.until("two charts", `document.querySelectorAll(".plot.picks canvas").length === 2 &&
		[...document.querySelectorAll(".plot.picks canvas")].every((e) => e.width > 50)`)
	c.until("a bar", `(() => {
		const canvas = document.querySelector(".plot.picks canvas");
		const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
		let red = 0;
		for (let i = 0; i < data.length; i += 4) {
			if (data[i + 3] > 200 && data[i] > data[i + 1] + 80 && data[i] > data[i + 2] + 80) red++;
		}
		return red > 20;
	})()`)
	for _, span := range []string{"24 h", "30 d", "1 h"} {
		c.click(span)
		c.until(span+" to be chosen", `[...document.querySelectorAll(".spans button")].find((e) =>
			e.innerText === %s).getAttribute("aria-pressed") === "true"`, quote(span))
		c.see("20 accepted · 0 delivered · 20 failed: 20 status")
	}
	c.click("5 min")
	c.see("Attempts a second")
	c.click("1 h")
	c.see("20 accepted · 0 delivered")

	// The bar of the minute in which most failed, by its place among 60.
	c.until("a click on the bar to be a search", `(() => {
		const over = document.querySelector(".plot.picks .u-over");
		const worst = document.querySelector("section.panel p.muted a");
		if (!over || !worst) return location.hash.startsWith("#/search?target=erp&since=");
		const { x, y, width, height } = over.getBoundingClientRect();
		const since = Date.parse(new URLSearchParams(worst.hash.split("?")[1]).get("since"));
		const minutes = Math.floor(Date.now() / 60000) - since / 60000;
		over.dispatchEvent(new MouseEvent("click", { bubbles: true,
			clientX: x + width * (59.5 - minutes) / 60, clientY: y + height / 2 }));
		return false;
	})()`)
	c.see("a-19", "a-0")

	c.open("#/")
	c.until("the last hour of the relay", `import("./live.js").then((m) => {
		const [x, values] = m.state.accepted;
		return x.length > 55 && values.some((v) => v > 0.3 && v < 0.4);
	})`)
	c.until("the last hour of a target", `import("./live.js").then((m) => {
		const history = m.state.history.get("erp");
		return history && history[0].length > 55 && history[2].some((v) => v > 0.3 && v < 0.4);
	})`)
	if eval[float64](c, `document.documentElement.scrollWidth - innerWidth`) > 0 {
		t.Error("the overview scrolls sideways")
	}
}
