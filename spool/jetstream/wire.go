package jetstream

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

// Subjects, below the name of the spool.
const (
	eventSubject   = "e"
	deletedSubject = "d"
	keySubject     = "k"
	packSubject    = "i"
	fenceSubject   = "f"
	relaySubject   = "r"
	headSubject    = "h"
	writerSubject  = "w"
	guardSubject   = "g" // carries a check, says nothing
	checkSubject   = "c" // by which a wrong key is known
)

// Headers of the server, and of ours.
const (
	batchHeader       = "Nats-Batch-Id"
	batchPlaceHeader  = "Nats-Batch-Sequence"
	batchCommitHeader = "Nats-Batch-Commit"
	expectedHeader    = "Nats-Expected-Last-Subject-Sequence"
	expectedOfHeader  = "Nats-Expected-Last-Subject-Sequence-Subject"
	rollupHeader      = "Nats-Rollup"
	ttlHeader         = "Nats-TTL"

	lastHeader = "Hs-Last" // the last event of a frame
	moreHeader = "Hs-More" // the frame goes on in the next message
	goneHeader = "Hs-Gone" // the record was deleted
)

// goneTTL is how long the stream knows that a record was deleted. Nobody needs it: a replica is
// made again at every start, and reads on from there.
const goneTTL = time.Hour

// keyed is the subject of a record.
func keyed(key []byte) string {
	return keySubject + "." + base64.RawURLEncoding.EncodeToString(key)
}

// fenced is the subject of a lane's fence.
func fenced(lane record.LaneID) string {
	return fenceSubject + "." + strconv.FormatUint(uint64(lane), 10)
}

// named is a subject of a relay: of its signs of life, or of what it has written.
func named(subject, relay string) string {
	return subject + "." + base64.RawURLEncoding.EncodeToString([]byte(relay))
}

// laneOf is the lane that a record is about; false: none. Its name is not about it.
func laneOf(key []byte) (record.LaneID, bool) {
	k := record.KindOf(key)
	if k == nil || k.Prefix == record.PrefixName || len(k.Parts) == 0 ||
		k.Parts[0] != record.PartLane && k.Parts[0] != record.PartAbout {
		return 0, false
	}
	return record.KeyLane(key), true
}

var errForeign = errors.New("the stream holds a message that is not hookspool's")

// change is what one message says.
type change struct {
	kind  string // a subject below the spool's name, without what comes after it
	key   []byte // of a record
	value []byte
	ttl   time.Duration // of a record; 0: it stays
	life  time.Duration // that its message had when it was stored; 0: it stays
	gone  bool          // the record was deleted
	lane  record.LaneID // of a fence
	relay string        // that lives, or has written
	last  uint64        // event of a frame
	more  bool
	// gonners are the events that were deleted.
	gonners []uint64
}

// read understands a message. below is its subject after the name of the spool, at is when it was
// stored.
func read(below string, header nats.Header, data []byte, at, now time.Time) (c change, err error) {
	kind, rest, _ := strings.Cut(below, ".")
	c = change{kind: kind, value: data}
	switch kind {
	case eventSubject:
		c.last, err = strconv.ParseUint(header.Get(lastHeader), 10, 64)
		c.more = header.Get(moreHeader) != ""
	case deletedSubject:
		c.gonners, err = readSeqs(data)
	case keySubject:
		c.key, err = base64.RawURLEncoding.DecodeString(rest)
		if err == nil {
			err = c.readLife(header, now.Sub(at))
		}
	case packSubject:
		err = c.readLife(header, now.Sub(at))
	case fenceSubject:
		var lane uint64
		lane, err = strconv.ParseUint(rest, 10, 32)
		c.lane = record.LaneID(lane)
	case relaySubject, writerSubject:
		var name []byte
		name, err = base64.RawURLEncoding.DecodeString(rest)
		c.relay = string(name)
	case headSubject, guardSubject, checkSubject:
	default:
		err = errForeign
	}
	if err != nil {
		return c, fmt.Errorf("cannot read a message of subject %q: %w", below, err)
	}
	return c, nil
}

// readLife says how long a record that was stored a while ago has still to live.
func (c *change) readLife(header nats.Header, ago time.Duration) (err error) {
	if ttl := header.Get(ttlHeader); ttl != "" {
		c.life, err = time.ParseDuration(ttl)
	}
	if c.gone = header.Get(goneHeader) != ""; !c.gone && c.life > 0 {
		c.ttl = c.life - ago
		c.gone = c.ttl <= 0
	}
	return err
}

// writeSeqs packs sequences as runs: how far each begins after the end of the one before, and how
// long it is.
func writeSeqs(seqs []uint64) (b []byte) {
	slices.Sort(seqs)
	seqs = slices.Compact(seqs)
	end := uint64(0)
	for len(seqs) > 0 {
		n := 1
		for n < len(seqs) && seqs[n] == seqs[0]+uint64(n) {
			n++
		}
		b = binary.AppendUvarint(b, seqs[0]-end)
		b = binary.AppendUvarint(b, uint64(n))
		end, seqs = seqs[0]+uint64(n), seqs[n:]
	}
	return b
}

// seqsMax bounds what one message may delete: more than a transaction has room for.
const seqsMax = 1 << 20

func readSeqs(b []byte) (seqs []uint64, err error) {
	for end := uint64(0); len(b) > 0; {
		gap, k := binary.Uvarint(b)
		if k <= 0 {
			return nil, errForeign
		}
		n, l := binary.Uvarint(b[k:])
		if l <= 0 || n > seqsMax || len(seqs)+int(n) > seqsMax {
			return nil, errForeign
		}
		b = b[k+l:]
		for from := end + gap; n > 0; n, from = n-1, from+1 {
			seqs = append(seqs, from)
			end = from + 1
		}
	}
	return seqs, nil
}

// writer is what a relay has written last.
type writer struct {
	Incarnation string `json:"incarnation"`
	Batch       uint64 `json:"batch"`
}

// owner is who has a lane.
type owner struct {
	// Relay is empty for one that was given away.
	Relay       string `json:"relay"`
	Incarnation string `json:"incarnation"`
}

func readOwner(data []byte) (o owner, err error) {
	if err := json.Unmarshal(data, &o); err != nil {
		return o, fmt.Errorf("cannot read who has a lane: %w", err)
	}
	return o, nil
}

func readWriter(data []byte) (w writer, err error) {
	if err := json.Unmarshal(data, &w); err != nil {
		return w, fmt.Errorf("cannot read what a relay has written: %w", err)
	}
	return w, nil
}

// againAfter lies between two tries while nobody answers.
const againAfter = 100 * time.Millisecond

// errClosing: it waited for something and does not any more.
var errClosing = fmt.Errorf("%w: it was closed", engine.ErrUnavailable)

func (c *committer) inUse() error {
	return fmt.Errorf("%w: another relay named %q uses this spool; set spool.jetstream.relay",
		engine.ErrInUse, c.relay)
}

// pause waits before another try; an error: the engine was closed.
func pause(ctx context.Context) error {
	timer := time.NewTimer(againAfter)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return errClosing
	case <-timer.C:
		return nil
	}
}
