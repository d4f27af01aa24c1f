package care

import (
	"context"
	"errors"
	"io/fs"

	"github.com/hookspool/hookspool/spool/highwater"
)

// highWaterTries bounds how often the high-water mark of a running spool is read: the keeper may be
// writing those twelve bytes at the same moment.
const highWaterTries = 5

// VerifyLive is Verify of a spool that runs, as of one instant: every record, every delivery
// against the sums of its lane, gaps, and the high-water mark. What it cannot prove while the
// engine writes, the report names in NotChecked. It ends with an error when ctx does or the spool
// is closed. progress is as there.
func VerifyLive(ctx context.Context, of Source, progress func(done, total int64)) (rep *Report,
	err error) {
	rep = newReport()
	// They change while the engine works, and the engine reads them whole or not at all.
	rep.NotChecked = append(rep.NotChecked, "the engine's files as files: its log, its list of "+
		"tables, and the checksums of blocks beside those of our records")
	var all faults
	defer func() { rep.conclude(recover(), &all) }()
	dir, _ := of.Home()
	// The mark before the snapshot: it names an event that was committed then, so the snapshot must
	// have it. The other way round, the keeper might move the mark in between.
	highWater, herr := highwater.Read(dir)
	for try := 1; herr != nil && !errors.Is(herr, fs.ErrNotExist) && try < highWaterTries; try++ {
		highWater, herr = highwater.Read(dir)
	}
	err = at(ctx, of, func(ctx context.Context, view *Snapshot) error {
		v := newVerifier(ctx, view, rep, progress)
		defer func() { all = v.faults }()
		if err := v.run(dir); err != nil {
			return err
		}
		v.checkHighWater(highWater, herr)
		return nil
	})
	return rep, err
}
