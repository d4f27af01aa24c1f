package spooltest

import (
	"errors"
	"sync"
)

// CommitFaults lets commits of a bed fail. The zero value lets none. It is safe for concurrent use.
type CommitFaults struct {
	mu      sync.Mutex // guards below
	in      int        // commits until one fails; 0: none does
	kept    bool       // that one takes effect all the same
	failing bool       // and none succeeds any more
}

var errInjected = errors.New("the test lets this commit fail")

// FailCommit is part of Bed.
func (f *CommitFaults) FailCommit(n int, kept bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.in, f.kept, f.failing = n, kept, false
}

// Next says what becomes of a commit: whether it takes effect, and what it returns if it does.
func (f *CommitFaults) Next() (effect bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.failing:
		return false, errInjected
	case f.in == 0:
		return true, nil
	}
	if f.in--; f.in > 0 {
		return true, nil
	}
	f.failing = true
	return f.kept, errInjected
}

// Do makes a commit, or not.
func (f *CommitFaults) Do(commit func() error) error {
	effect, err := f.Next()
	if !effect {
		return err
	}
	return errors.Join(commit(), err)
}
