package care

import (
	"context"
	"fmt"

	"github.com/hookspool/hookspool/spool/engine"
)

// Source is a spool that can be read as of one instant: one that runs, which goes on meanwhile, or
// one at rest, as a Reader has it.
type Source interface {
	// Reading runs a look at the spool as of now; the look is closed when it returns. ctx is the
	// caller's, and ends when the spool is closed as well: closing waits for the look.
	Reading(ctx context.Context, look func(ctx context.Context, l engine.Look) error) error
	// Home is the spool's directory, and the key that encrypts it; empty: none.
	Home() (dir string, key []byte)
}

// at visits a source as of one instant.
func at(ctx context.Context, of Source, visit func(ctx context.Context, v *Snapshot) error) error {
	return of.Reading(ctx, func(ctx context.Context, look engine.Look) error {
		v, err := OpenSnapshot(look)
		if err != nil {
			return fmt.Errorf("cannot read the spool: %w", err)
		}
		defer v.Close()
		return visit(ctx, v)
	})
}
