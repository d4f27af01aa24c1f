package spool

import (
	"errors"
	"testing"
	"time"

	"github.com/hookspool/hookspool/spool/engine"
)

// An engine that never returns from a commit holds up neither those who wait for it nor Close, once
// the spool has failed: Badger does that where its disk refuses the list of tables.
func TestEngineNeverReturns(t *testing.T) {
	t.Parallel()
	f := &fixture{t: t, dir: t.TempDir() + "/spool", now: time.Unix(1_700_000_000, 0)}
	o := f.options()
	o.stuckAfter = 100 * time.Millisecond
	hold, held, goOn := make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	o.seam = func(call string, do func() error) error {
		select {
		case <-hold:
			close(held)
			<-goOn
		default:
		}
		return do()
	}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	f.Spool = s
	s.running.Go(s.commitLoop) // no keeper: it makes calls of its own
	f.lane("a")
	hold <- struct{}{}
	appended := make(chan error, 1)
	go func() {
		appended <- s.Append(&Draft{Payload: []byte("x"), At: f.now, Note: []string{"a"}})
	}()
	<-held
	cause := errors.New("the list of tables cannot be written")
	_ = s.fail(cause)
	within := func(what string, call func() error, want error) {
		t.Helper()
		done := make(chan error, 1)
		go func() { done <- call() }()
		select {
		case err := <-done:
			if !errors.Is(err, want) {
				t.Errorf("%s: %v; want %v", what, err, want)
			}
		case <-time.After(2 * time.Minute):
			t.Errorf("%s does not return", what)
		}
	}
	within("the append", func() error { return <-appended }, cause)
	within("a change", func() error { return s.Apply(Change{}) }, cause)
	within("Close", s.Close, errStuck)
	close(goOn)
	s.running.Wait()
	if err := s.engine.Close(); err != nil {
		t.Error(err)
	}
}

// movedEngine finds that its files are gone when it gives space back.
type movedEngine struct{ engine.Engine }

func (movedEngine) Reclaim(time.Time, uint64, func(func() error) error) error { return ErrMoved }

// Files that are missed while space is given back stop the spool as those that a look misses.
func TestMovedWhileReclaiming(t *testing.T) {
	t.Parallel()
	f := &fixture{t: t, dir: t.TempDir() + "/spool", now: time.Unix(1_700_000_000, 0)}
	s, err := Open(f.options())
	if err != nil {
		t.Fatal(err)
	}
	s.engine = movedEngine{s.engine}
	s.running.Go(s.commitLoop) // no keeper but this test
	s.keep(time.Now())
	if !errors.Is(s.Err(), ErrMoved) {
		t.Errorf("the spool goes on: %v", s.Err())
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
