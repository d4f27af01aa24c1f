package accept

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/engine"
)

// Whatever becomes of an event, its sender hears it, it is counted once, and the room that was asked
// for is given back unless the event is spooled.
func TestAnswers(t *testing.T) {
	f := newFixture()
	url := "http://" + f.listen(t) + "/v1/events"
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	check := func(what, body string, status int, want string) {
		t.Helper()
		res, err := http.Post(url, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != status || !strings.Contains(string(text), want) {
			t.Errorf("%s: %d %s, %v; want %d %s", what, res.StatusCode, text, err, status, want)
		}
	}
	check("an event", `{"eventType":"a"}`, 200, `"id":"evt_made"`)
	f.rules.Judge = indifferent{}
	check("one that nobody wants", `{"eventType":"b"}`, 200, `"id":"evt_unspooled"`)
	if f.spool.count() != 1 || f.counts.accepted != 2 || f.spool.admitted != len(`{"eventType":"a"}`) {
		t.Errorf("%d spooled, %d counted, %d bytes admitted", f.spool.count(), f.counts.accepted,
			f.spool.admitted)
	}
	f.rules.Judge = judged{cfg: f.rules.Config}
	f.spool.refuses = spool.ErrFull
	check("a full spool", `{}`, 507, CodeSpoolFull)
	f.spool.refuses = fmt.Errorf("no majority: %w", engine.ErrUnavailable)
	check("a spool that cannot be reached", `{}`, 503, CodeOverloaded)
	f.spool.refuses = spool.ErrFailed
	check("a broken spool", `{}`, 507, CodeDiskError)
	f.Close()
	check("leaving with a broken spool", `{}`, 507, CodeDiskError)
	f.spool.refuses = nil
	check("leaving", `{}`, 503, CodeDraining)
	if f.spool.count() != 1 || f.spool.admitted != len(`{"eventType":"a"}`) || f.inHand.Load() != 0 ||
		f.counts.refused[CodeDiskError] != 2 || f.counts.refused[CodeSpoolFull] != 1 ||
		f.counts.refused[CodeDraining] != 1 {
		t.Errorf("%d spooled, %d bytes admitted, %d in hand, refused %v", f.spool.count(),
			f.spool.admitted, f.inHand.Load(), f.counts.refused)
	}
}
