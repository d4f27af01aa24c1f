package relay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/relay/peers"
	"github.com/hookspool/hookspool/spool"
)

// far is a relay with two targets, of which b serves one, called far.
func far(t *testing.T) (*fixture, *others) {
	f, o := inCompany(t)
	good := newReceiver(t, always(200))
	f.target("far", good.URL)
	f.target("near", good.URL)
	f.start()
	f.give(o, "far", 0)
	return f, o
}

// answer lets b answer.
func (o *others) answer(b func(q *peers.Question) (any, error)) { o.change(func() { o.b = b }) }

// An order to a target of another relay is put to that one, and its answer is the answer: the target
// as it is there, or its refusal, word for word.
func TestOrderPassedOn(t *testing.T) {
	t.Parallel()
	f, o := far(t)
	b := admin.Target{Name: "far", Status: "Paused", Events: []string{"*"}, Session: "any",
		Relay: "b", InFlight: new(3), JobRunning: true}
	o.answer(func(q *peers.Question) (any, error) {
		if q.Verb == peers.Target {
			return b, nil
		}
		return nil, nil
	})
	for _, verb := range []string{"pause", "resume", "retry", "enable"} {
		var got admin.Target
		if code := f.api("POST", "/v1/targets/far/"+verb, &got); code != 200 || *got.InFlight != 3 ||
			!got.JobRunning || got.Status != "Paused" {
			t.Errorf("%s: %d %+v", verb, code, got)
		}
		if asked := o.questions(); !slices.Equal(asked[len(asked)-2:], []string{verb + " far",
			"target far"}) {
			t.Errorf("%s: asked %v", verb, asked)
		}
	}
	before := len(o.questions())
	var got admin.Target
	if code := f.api("POST", "/v1/targets/near/pause", &got); code != 200 || got.Status != "Paused" {
		t.Errorf("near: %d %+v", code, got)
	}
	if asked := o.questions(); len(asked) != before {
		t.Errorf("a target of its own: asked %v", asked[before:])
	}
	o.answer(func(*peers.Question) (any, error) {
		e := admin.Refuse(409, "paused", "target %q is paused", "far")
		e.Hint = "hookspool resume far"
		return nil, e
	})
	var problem admin.Problem
	if code := f.api("POST", "/v1/targets/far/retry", &problem); code != 409 ||
		problem.Code != "paused" || problem.Hint != "hookspool resume far" {
		t.Errorf("a refusal: %d %+v", code, problem)
	}
	o.answer(func(*peers.Question) (any, error) { return nil, errors.New("no luck") })
	if code := f.api("POST", "/v1/targets/far/retry", &problem); code != 500 {
		t.Errorf("another error: %d %+v", code, problem)
	}
}

// Whoever serves the target may not answer, or there may be nobody: the caller hears when to try
// again. If the lane has moved meanwhile, whoever has it now is asked, also if that is this relay.
func TestOrderToNobody(t *testing.T) {
	t.Parallel()
	f, o := far(t)
	refused := func(what string) {
		t.Helper()
		_, address := f.Addresses()
		res, err := http.Post("http://"+address+"/v1/targets/far/pause", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var p admin.Problem
		if err := json.NewDecoder(res.Body).Decode(&p); err != nil || res.StatusCode != 503 ||
			res.Header.Get("Retry-After") != fmt.Sprint(silentRetryAfter) ||
			!strings.Contains(p.Detail, "another one takes over within seconds") {
			t.Errorf("%s: %d, Retry-After %q, %+v, %v", what, res.StatusCode,
				res.Header.Get("Retry-After"), p, err)
		}
	}
	refused("silence")
	id := f.laneNamed("far").spool.ID()
	o.change(func() { o.owners[id] = "" })
	refused("nobody")
	o.change(func() { o.owners[id] = "b" })
	asked := 0
	o.answer(func(*peers.Question) (any, error) {
		if asked++; asked == 1 {
			return nil, spool.ErrElsewhere
		}
		return nil, nil
	})
	if err := (front{f.desk}).Pause(order("far")); err != nil || asked != 2 {
		t.Errorf("asked %d times: %v", asked, err)
	}
	o.answer(func(*peers.Question) (any, error) { return nil, spool.ErrElsewhere })
	refused("nobody's for longer")
	o.answer(func(*peers.Question) (any, error) {
		o.change(func() { o.tenures[id] = 5 })
		return nil, spool.ErrElsewhere
	})
	if err := (front{f.desk}).Pause(order("far")); err != nil || f.laneNamed("far").status() != Paused {
		t.Errorf("it came here: %v, %v", err, f.laneNamed("far").status())
	}
}

// What is asked of a relay it does for the lanes that it serves, and for no other.
func TestOrderOfAnother(t *testing.T) {
	t.Parallel()
	f, o := far(t)
	answer := func(q *peers.Question) (any, error) {
		if q.Target != "" && q.Verb != peers.Target {
			asked := order(q.Target)
			q.Order = &asked
		}
		loop := &others{}
		unlock := o.locked()
		loop.a = o.a
		unlock()
		c := peers.New(direct{loop}, loop, time.Time{})
		text, err := c.Ask(t.Context(), "a", q)
		return text, err
	}
	if _, err := answer(&peers.Question{Verb: peers.Pause, Target: "near"}); err != nil ||
		f.laneNamed("near").status() != Paused {
		t.Errorf("pause: %v, %v", err, f.laneNamed("near").status())
	}
	got, err := peers.ResultOf[admin.Target](answer(&peers.Question{Verb: peers.Target,
		Target: "near"}))
	if err != nil || got.Status != "Paused" {
		t.Errorf("target: %+v, %v", got, err)
	}
	_, err = answer(&peers.Question{Verb: peers.Retry, Target: "near"})
	if e, is := errors.AsType[*admin.Error](err); !is || e.Code != "paused" {
		t.Errorf("retry: %v", err)
	}
	_, err = answer(&peers.Question{Verb: peers.Pause, Target: "none"})
	if e, is := errors.AsType[*admin.Error](err); !is || e.Status != 404 {
		t.Errorf("a target that there is not: %v", err)
	}
	if _, err = answer(&peers.Question{Verb: peers.Pause, Target: "far"}); !errors.Is(err,
		spool.ErrElsewhere) {
		t.Errorf("another's: %v", err)
	}
	for _, q := range []peers.Question{{Verb: "dance"}, {Verb: peers.Purge}, {Verb: peers.Replay},
		{Verb: peers.Pause}, {Verb: peers.Retry}, {Verb: peers.Accounts, Way: 99}} {
		if _, err := answer(&q); err == nil || !strings.Contains(err.Error(), "does not know it") {
			t.Errorf("%q: %v", q.Verb, err)
		}
	}
	// The desk itself writes nothing for a lane that is not its own.
	for name, err := range map[string]error{"pause": f.desk.Pause(order("far")),
		"enable": retried(f.desk.Enable(order("far"))), "retry": retried(f.desk.Retry(order("far"))),
		"the lane": f.laneNamed("far").hold(true, "")} {
		if !errors.Is(err, spool.ErrElsewhere) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if st := f.laneNamed("far").spool.Standing(); st.Held {
		t.Error("it is held")
	}
}

// direct asks the relay that is tested.
type direct struct{ *others }

func (d direct) Ask(ctx context.Context, _ string, text []byte) ([]byte, error) {
	return d.a(ctx, text), nil
}

// A purge goes to another relay page by page, with the same sum; a page and a forgetting as they are.
func TestPurgeElsewhere(t *testing.T) {
	t.Parallel()
	f, o := far(t)
	var pages []admin.PurgeQuery
	o.answer(func(q *peers.Question) (any, error) {
		pages = append(pages, *q.Purge)
		out := admin.Purged{Target: q.Target, State: q.Purge.State, Count: 10}
		if len(pages) < 3 {
			out.Next = fmt.Sprint("log-", len(pages), "-9")
		}
		return out, nil
	})
	all, err := (front{f.desk}).Purge(t.Context(), "far", admin.PurgeQuery{State: "pending", Type: "x"})
	if err != nil || all != (admin.Purged{Target: "far", State: "pending", Count: 30}) {
		t.Errorf("%+v, %v", all, err)
	}
	for i, q := range pages {
		if q.Limit != purgeAtOnce || q.Type != "x" || q.State != "pending" ||
			(q.After == "") != (i == 0) {
			t.Errorf("page %d is %+v", i, q)
		}
	}
	pages = nil
	page, err := (front{f.desk}).Purge(t.Context(), "far", admin.PurgeQuery{State: "exhausted", Limit: 7})
	if err != nil || page.Next != "log-1-9" || len(pages) != 1 || pages[0].Limit != 7 {
		t.Errorf("a page: %+v of %+v, %v", page, pages, err)
	}
	pages = nil
	if _, err := (front{f.desk}).Purge(t.Context(), "far", admin.PurgeQuery{Forget: true}); err != nil ||
		len(pages) != 1 || !pages[0].Forget {
		t.Errorf("forgetting: %+v, %v", pages, err)
	}
}

// A replay by target goes to the relay that serves it, one by id is divided, and both are counted
// where they would be made: what this relay has read may be older.
func TestReplayElsewhere(t *testing.T) {
	t.Parallel()
	f, o := inCompany(t)
	good := newReceiver(t, always(200))
	f.target("far", good.URL)
	f.target("near", good.URL)
	f.start()
	f.post("/v1/events/x", "body", "webhook-id", "one")
	for _, name := range []string{"far", "near"} {
		f.wait("the delivery", func() bool { return f.laneNamed(name).spool.Counts().Delivered == 1 })
	}
	f.give(o, "far", 0)
	o.answer(func(q *peers.Question) (any, error) {
		if q.Verb != peers.Replay || q.Replay.State != "delivered" || q.Replay.Target != "far" {
			return nil, fmt.Errorf("asked %+v", q.Replay)
		}
		return admin.Replayed{Count: 5, Next: "77", DryRun: q.Replay.DryRun}, nil
	})
	var out admin.Replayed
	if code := f.api("POST", "/v1/replay?target=far&state=delivered&after=3", &out); code != 200 ||
		out.Count != 5 || out.Next != "77" {
		t.Errorf("by target: %d %+v", code, out)
	}
	out = admin.Replayed{}
	if code := f.api("POST", "/v1/replay?target=far&state=delivered&dry_run=true", &out); code != 200 ||
		out.Count != 5 || !out.DryRun {
		t.Errorf("counted by target: %d %+v", code, out)
	}
	out = admin.Replayed{}
	if code := f.api("POST", "/v1/replay?id=one&state=delivered&dry_run=true", &out); code != 200 ||
		out.Count != 6 || !out.DryRun || good.count() != 2 {
		t.Errorf("counted by id: %d %+v, %d requests", code, out, good.count())
	}
	out = admin.Replayed{}
	if code := f.api("POST", "/v1/replay?id=one&state=delivered", &out); code != 200 ||
		out.Count != 6 {
		t.Errorf("by id: %d %+v", code, out)
	}
	f.wait("the part of this relay", func() bool { return good.count() == 3 })
}

// order is an order to a target that nobody noted.
func order(name string) admin.Order { return admin.Order{Target: name} }

// retried is the error of an order for a job.
func retried(_ uint64, err error) error { return err }
