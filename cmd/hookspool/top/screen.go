// Package top is the terminal's side of hookspool top: a screen that is taken and given back
// (Screen), the keys that come from it (Decode), and what they choose (View). What the lines say is
// its user's.
package top

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/term"
)

// What is said to a terminal: take is the alternate screen, without a cursor and without wrapping
// lines; give undoes it in the reverse order.
const (
	take = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[H\x1b[2J"
	give = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"
)

// The size of a terminal that does not tell it.
const (
	columnsUsual = 80
	rowsUsual    = 24
)

// Screen is a terminal that was taken: raw, and on its alternate screen, so that what was on it is
// there again once it is given back. Its methods are safe for concurrent use.
type Screen struct {
	in, out *os.File

	mu     sync.Mutex  // guards below
	before *term.State // nil: the terminal is as it was
	shown  []string    // the lines on it; nil: not known
}

// Take takes a terminal, of which in and out are the two directions.
func Take(in, out *os.File) (*Screen, error) {
	s := &Screen{in: in, out: out}
	if err := s.Again(); err != nil {
		return nil, err
	}
	return s, nil
}

// Again takes the terminal after Give, or after somebody else has set it meanwhile: the shell does
// when the process was stopped and goes on.
func (s *Screen) Again() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, err := term.MakeRaw(int(s.in.Fd()))
	if err != nil {
		return fmt.Errorf("cannot set the terminal: %w", err)
	}
	if s.before == nil {
		s.before = before
	}
	s.shown = nil
	if _, err := s.out.WriteString(take); err != nil {
		_ = term.Restore(int(s.in.Fd()), s.before) // it is gone
		s.before = nil
		return fmt.Errorf("cannot write to the terminal: %w", err)
	}
	return nil
}

// Give gives the terminal back as it was; it does so once.
func (s *Screen) Give() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.before == nil {
		return
	}
	_, _ = s.out.WriteString(give) // a terminal that is gone needs nothing
	_ = term.Restore(int(s.in.Fd()), s.before)
	s.before = nil
}

// Guard is deferred by every goroutine that runs while the terminal is taken: a panic gives it
// back, so that its words can be read, and goes on.
func (s *Screen) Guard() {
	if r := recover(); r != nil {
		s.Give()
		panic(r)
	}
}

// Size is how many columns and rows there are.
func (s *Screen) Size() (columns, rows int) {
	columns, rows, err := term.GetSize(int(s.out.Fd()))
	if err != nil || columns < 1 || rows < 1 {
		return columnsUsual, rowsUsual
	}
	return columns, rows
}

// Forget has the next Draw write every line.
func (s *Screen) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shown = nil
}

// Draw shows these lines, none wider than the screen, and nothing below them. Only what differs
// from what is there is written, in one piece.
func (s *Screen) Draw(lines []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.before == nil {
		return nil
	}
	var b strings.Builder
	if s.shown == nil {
		b.WriteString("\x1b[H\x1b[2J")
	}
	for i := range max(len(lines), len(s.shown)) {
		now, was := "", ""
		if i < len(lines) {
			now = lines[i]
		}
		if i < len(s.shown) {
			was = s.shown[i]
		}
		if now != was {
			// Erased before and not after: a cursor past the last column would erase that.
			b.WriteString("\x1b[" + strconv.Itoa(i+1) + ";1H\x1b[2K" + now)
		}
	}
	s.shown = append(make([]string, 0, len(lines)), lines...)
	if b.Len() == 0 {
		return nil
	}
	if _, err := s.out.WriteString(b.String()); err != nil {
		return fmt.Errorf("cannot write to the terminal: %w", err)
	}
	return nil
}
