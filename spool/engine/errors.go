package engine

import (
	"errors"
	"fmt"
)

// Errors that the spool and whoever opens one tell apart with errors.Is.
var (
	// ErrNotFound: there is no such record, or no such event.
	ErrNotFound = errors.New("not found")
	// ErrConflict: a record that the transaction has read was changed by another relay. Nothing was
	// written; it is to be planned again. An engine with one writer never returns it.
	ErrConflict = errors.New("another relay was first")
	// ErrElsewhere: another relay has the lane.
	ErrElsewhere = errors.New("another relay serves this target")
	// ErrUnavailable: the engine cannot write now and may do so later; nothing was written.
	ErrUnavailable = errors.New("the engine cannot be reached")
	// ErrFull: there is no room to write. Nothing was written; there may be room later.
	ErrFull = errors.New("the spool is full")
	// ErrNoInodes: the file system can hold no more files, however many bytes it has.
	ErrNoInodes = fmt.Errorf("%w: its disk has too few free inodes", ErrFull)
	// ErrInUse: another process has the spool open.
	ErrInUse = errors.New("another process uses this spool")
	// ErrWrongKey: the encryption key does not open this spool.
	ErrWrongKey = errors.New("the encryption key does not open this spool")
	// ErrLoss: the spool holds less than it acknowledged.
	ErrLoss = errors.New("the spool has lost events that it had acknowledged")
	// ErrNoSpool: there is no spool in this directory.
	ErrNoSpool = errors.New("there is no spool")
	// ErrRestoring: a restore into this directory was cut off, and is to be run again.
	ErrRestoring = errors.New("a restore into this directory has not come to its end")
	// ErrMoved: the spool's files are not where they were opened. What is acknowledged now goes into
	// files that nobody finds at the next start.
	ErrMoved = errors.New("the spool's files are not where they were opened")
	// ErrAway: the spool that was open here was moved or removed while it was, and is not back.
	ErrAway = errors.New("the spool that was open here is away")
	// ErrDamaged: something in the spool cannot be read or does not add up.
	ErrDamaged = errors.New("the spool is damaged")
)
