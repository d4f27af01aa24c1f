package care_test

import (
	"testing"
	"time"

	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/care"
	"github.com/hookspool/hookspool/spool/record"
)

// An export says of what was delivered when that was, with which status and how long it took: of
// what succeeded at once and of what was retried. An import takes that, and refuses it of what was
// not delivered.
func TestExportTellsReceipts(t *testing.T) {
	f := open(t)
	a := f.lane("a")
	f.lane("b")
	f.append("at once", "a", "b")
	f.append("retried", "a", "b")
	at := f.now.Add(412 * time.Millisecond)
	for i, e := range f.fetch(a, 2) {
		st := spool.Settlement{Lane: a.ID(), Seq: e.Seq, AcceptedAt: e.At, Fresh: true, Attempts: 1,
			At: at, Status: 204, Made: record.Made{Duration: 38 * time.Millisecond}}
		if i == 1 {
			failed := st
			failed.Verdict, failed.Status, failed.Error = spool.Retry, 500, "answered 500"
			if err := f.Apply(spool.Change{Settle: []spool.Settlement{failed}}); err != nil {
				t.Fatal(err)
			}
			st.Fresh, st.Attempts, st.At = false, 2, at.Add(time.Minute)
		}
		if err := f.Apply(spool.Change{Settle: []spool.Settlement{st}}); err != nil {
			t.Fatal(err)
		}
	}
	f.close()
	all := f.export(care.Selection{All: true})
	for i, want := range []care.ExportedTarget{
		{Name: "a", State: "delivered", Attempts: 1, DeliveredAt: &at, Status: 204, Duration: 38},
		{Name: "a", State: "delivered", Attempts: 2, Status: 204, Duration: 38},
	} {
		got := all[i].Targets[0]
		if when := at.Add(time.Duration(i) * time.Minute); got.DeliveredAt == nil ||
			!got.DeliveredAt.Equal(when) {
			t.Fatalf("event %d was delivered at %v; want %s", i, got.DeliveredAt, when)
		}
		got.DeliveredAt, want.DeliveredAt = nil, nil
		if got != want || all[i].Targets[1].DeliveredAt != nil {
			t.Errorf("event %d is exported as %+v", i, all[i].Targets)
		}
	}
	line := func(state string) []byte {
		return []byte(`{"id":"x","type":"t","content_type":"","accepted_at":"2026-01-01T00:00:00Z",` +
			`"session":"","headers":[],"payload":"","targets":[{"name":"a","state":"` + state +
			`","attempts":1,"delivered_at":"2026-01-01T00:00:00.412Z","status":200,"duration_ms":0.4}]}`)
	}
	if x, err := care.ParseExported(line("delivered")); err != nil || len(x.Undelivered()) != 0 {
		t.Errorf("it is not taken: %v", err)
	}
	if _, err := care.ParseExported(line("pending")); err == nil {
		t.Error("a delivery that is pending has a receipt")
	}
}
