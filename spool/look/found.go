package look

import (
	"strings"
	"time"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

// Found is one event of a search, without its payload. The strings are its own.
type Found struct {
	Seq                   uint64
	ID, Type, ContentType string
	At                    time.Time
	Session               record.Session
	Bytes                 int // of the payload
	// Places are where its deliveries are.
	Places []Place
	lanes  []record.LaneID
}

func foundOf(e *record.Event) Found {
	f := Found{Seq: e.Seq, ID: strings.Clone(e.ID()), Type: strings.Clone(e.Type()),
		ContentType: strings.Clone(e.ContentType()), At: e.At, Session: e.Session,
		Bytes: len(e.Payload())}
	e.LaneIDs(func(lane record.LaneID) { f.lanes = append(f.lanes, lane) })
	return f
}

func (f *Found) in(state record.State) bool {
	for i := range f.Places {
		if f.Places[i].State == state {
			return true
		}
	}
	return false
}

// Summary is what a listing shows of one event. Errors as of Event.
func Summary(r engine.Records, seq uint64) (Found, error) {
	look := r.Look()
	defer look.Close()
	return summary(look, seq)
}

// summary reads a record in place; no payload is copied.
func summary(look engine.Look, seq uint64) (f Found, err error) {
	err = look.View(record.LogKey(seq), func(value []byte) error {
		e, err := record.DecodeEvent(value, seq)
		if err == nil {
			f = foundOf(e)
		}
		return err
	})
	return f, err
}
