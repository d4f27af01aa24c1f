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
	// Expiry is what its header record.ExpiryHeader says; empty: it has none.
	Expiry string
	// Places are where its deliveries are.
	Places []Place
	lanes  []record.LaneID
}

func foundOf(e *record.Event) Found {
	f := Found{Seq: e.Seq, ID: strings.Clone(e.ID()), Type: strings.Clone(e.Type()),
		ContentType: strings.Clone(e.ContentType()), At: e.At, Session: e.Session,
		Bytes: len(e.Payload())}
	if expiry, ok := e.Header(record.ExpiryHeader); ok {
		f.Expiry = strings.Clone(expiry)
	}
	e.LaneIDs(func(lane record.LaneID) { f.lanes = append(f.lanes, lane) })
	return f
}

// Summary is what a listing shows of one event. Errors as of Event.
func Summary(r engine.Records, seq uint64) (Found, error) {
	look := r.Look()
	defer look.Close()
	f, _, err := summary(look, seq, nil)
	return f, err
}

// summary reads a record in place; no payload is copied. It also says whether p picks the event.
func summary(look engine.Look, seq uint64, p *Picking) (f Found, picked bool, err error) {
	err = look.View(record.LogKey(seq), func(value []byte) error {
		e, err := record.DecodeEvent(value, seq)
		if err == nil {
			f, picked = foundOf(e), p.picks(e)
		}
		return err
	})
	return f, picked, err
}
