package look_test

import (
	"sync"
	"testing"

	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/look"
	"github.com/hookspool/hookspool/spool/record"
	"github.com/hookspool/hookspool/spool/spooltest"
)

// slowEngine is an engine of which a test can hold one commit.
type slowEngine struct {
	engine.Engine
	// hold has a token if the next commit is to wait for goOn, after it said so in held.
	hold, held, goOn chan struct{}
}

func newSlowEngine() *slowEngine {
	return &slowEngine{Engine: spooltest.NewMemory(false).Engine(), hold: make(chan struct{}, 1),
		held: make(chan struct{}, 1), goOn: make(chan struct{})}
}

func (e *slowEngine) Begin() engine.Txn { return slowTxn{e.Engine.Begin(), e} }

type slowTxn struct {
	engine.Txn
	e *slowEngine
}

func (t slowTxn) Commit() error {
	select {
	case <-t.e.hold:
		t.e.held <- struct{}{}
		<-t.e.goOn
	default:
	}
	return t.Txn.Commit()
}

// waiting is a spool whose commit goes on as soon as somebody waits for it.
type waiting struct {
	*spool.Spool
	goOn func()
}

func (w waiting) Barrier() {
	w.goOn()
	w.Spool.Barrier()
}

// While the exception of an attempt that failed is being written, the delivery is neither on its
// way through the log nor beside it. No look takes it for delivered, or leaves it out.
func TestLookWaitsForTheCommit(t *testing.T) {
	t.Parallel()
	f := func(name string, lookAt func(look.Source, record.Ref) (record.State, error)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newSlowEngine()
			fx := open(t, e)
			l := fx.lane("a")
			d := record.Ref{Lane: l.ID(), Seq: fx.append("t", l).Seq}
			fx.fetch(l, 1)
			settled := make(chan error, 1)
			e.hold <- struct{}{}
			go func() {
				settled <- fx.Apply(spool.Change{Settle: []spool.Settlement{
					outcome(l, d.Seq, spool.Retry)}})
			}()
			<-e.held
			goOn := sync.OnceFunc(func() { close(e.goOn) })
			state, err := lookAt(waiting{fx.Spool, goOn}, d)
			goOn()
			if err != nil || state != record.StatePending {
				t.Errorf("the delivery is %s, %v; want pending", state, err)
			}
			if err := <-settled; err != nil {
				t.Error(err)
			}
		})
	}
	f("places", func(s look.Source, d record.Ref) (record.State, error) {
		event, err := look.Event(s.Records(), d.Seq)
		if err != nil {
			return record.StateNone, err
		}
		places, err := look.Places(s, event)
		return only(places), err
	})
	f("search", func(s look.Source, _ record.Ref) (record.State, error) {
		found, _, err := look.Search(s, look.Query{Limit: 1})
		return onlyOf(found), err
	})
	f("list", func(s look.Source, d record.Ref) (record.State, error) {
		found, _, err := look.List(s, look.Listing{Lane: d.Lane, State: record.StatePending,
			Limit: 1})
		return onlyOf(found), err
	})
}

// only is the state of the one place.
func only(places []look.Place) record.State {
	if len(places) != 1 {
		return record.StateNone
	}
	return places[0].State
}

func onlyOf(found []look.Found) record.State {
	if len(found) != 1 {
		return record.StateNone
	}
	return only(found[0].Places)
}
