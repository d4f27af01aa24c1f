package relay

import (
	"context"
	"testing"
)

// Whoever looks at what fails waits for its turn, as walks do, and is told to ask again if there is
// none for a while.
func TestFailuresTakeTurns(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.target("crm", "http://127.0.0.1:1")
	f.start()
	turn, err := f.desk.walks.Enter(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer turn.Leave(context.Background())
	if status := f.api("GET", "/v1/targets/crm/failures", nil); status != 503 {
		t.Errorf("it is answered %d while another walk has its turn", status)
	}
}
