package spooltest

import (
	"context"
	"time"

	"github.com/hookspool/hookspool/spool/engine"
)

// Boundless is the room of an engine that has no bounds and no work of its own.
type Boundless struct{}

var (
	_ engine.Space   = Boundless{}
	_ engine.Trimmer = Boundless{}
	_ engine.Worker  = Boundless{}
)

// SetLimits is part of Space, as what follows; it sets none.
func (Boundless) SetLimits(engine.Limits) {}

// Measure finds nothing.
func (Boundless) Measure(bool) error { return nil }

// Usage is none.
func (Boundless) Usage() engine.Usage { return engine.Usage{FreeInodes: -1} }

// Admit admits all.
func (Boundless) Admit(int) error { return nil }

// Forgo does nothing.
func (Boundless) Forgo(int) {}

// Fit says that all fits.
func (Boundless) Fit(engine.Group) error { return nil }

// FitEvents says that all fits.
func (Boundless) FitEvents(engine.Group) error { return nil }

// Yield has no reserve.
func (Boundless) Yield(error) bool { return false }

// Swept is part of Trimmer, as what follows: it does nothing.
func (Boundless) Swept(int64, uint64) {}

// Reclaim has nothing to give back.
func (Boundless) Reclaim(time.Time, uint64, func(func() error) error) error { return nil }

// Run is part of Worker: there is nothing to do.
func (Boundless) Run(context.Context) {}

// Errors are none.
func (Boundless) Errors() (int64, time.Time) { return 0, time.Time{} }
