package jetstream

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hookspool/hookspool/spool/engine"
)

// A stream takes as long to be read as it takes, and one that is not read on any more is an error.
func TestCatchUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &follower{moved: make(chan struct{})}
		go func() { // ends after 5 messages
			for range 5 {
				<-time.After(40 * time.Second)
				f.mu.Lock()
				f.applied++
				close(f.moved)
				f.moved = make(chan struct{})
				f.mu.Unlock()
			}
		}()
		if err := f.catchUp(t.Context(), 5, time.Minute); err != nil {
			t.Error(err)
		}
		began := time.Now()
		err := f.catchUp(t.Context(), 6, time.Minute)
		if !errors.Is(err, engine.ErrUnavailable) || time.Since(began) > 2*time.Minute {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}
