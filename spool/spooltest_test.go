package spool_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/spooltest"
)

// The embedded engine passes what every engine must.
func TestEngine(t *testing.T) {
	spooltest.Run(t, func(tb testing.TB) spooltest.Bed { return &diskBed{tb: tb, root: tb.TempDir()} })
}

// diskBed is a directory with the files of the embedded engine. A crash copies them, as they are in
// that moment, to another one.
type diskBed struct {
	spooltest.CommitFaults
	tb      testing.TB
	root    string
	crashes int
}

var _ spooltest.Bed = (*diskBed)(nil)

func (b *diskBed) dir() string { return fmt.Sprintf("%s/spool-%d", b.root, b.crashes) }

func (b *diskBed) Prepare(o *spool.Options) {
	o.Dir = b.dir()
	spool.SetSeam(o, b.through)
}

func (b *diskBed) Crash(s *spool.Spool) {
	b.tb.Helper()
	b.crashes++
	spool.CrashTo(b.tb, s, b.dir())
}

func (b *diskBed) through(call string, do func() error) error {
	if call != "commit" {
		return do()
	}
	return b.Do(do)
}

// TxnBytes is what the options of the engine allow.
func (b *diskBed) TxnBytes() int { return 2_300_000 }

// Pass is the machine's: a record that expires does so within its time and a second.
func (b *diskBed) Pass(time.Duration) time.Duration { return 20 * time.Second }
