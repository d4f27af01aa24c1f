package record

import (
	"errors"
	"fmt"
	"strings"
)

// Kind is one kind of record: what its key looks like, what reads its value, and how those who go
// through the whole spool treat it. Nobody else lists prefixes: the salvage of a log tells an entry
// from noise by this table, verify checks every record by it, a repair knows from it which
// deletions to make again, and a test compares it with the table in doc.go. Any of them may be the
// first entry of a log: the engine begins one in the middle of whatever is being written.
type Kind struct {
	Prefix byte
	Parts  []KeyPart // of the key, after the prefix
	use    string    // as doc.go tells it
	// check reads a value as whoever needs it does. The key fits.
	check func(key, value []byte) error
	// Walked: it is read beside the log, lane by lane, so verify does not look at it by itself.
	Walked bool
	// Again: a deletion of one is made again after a repair; see deleteAgain.
	Again bool
}

// KeyPart is one part of a key.
type KeyPart uint8

const (
	PartLane    KeyPart = iota // u32
	PartAbout                  // u32, a lane or SpoolItself
	PartSeq                    // u64
	PartEpisode                // u64
	PartOrder                  // u64
	PartInstant                // u64 unix nanoseconds
	PartRun                    // u64
	PartSlot                   // u8
	PartWay                    // u8 from 1, or nothing
	PartID                     // the rest
	PartKey                    // the rest
	PartName                   // the rest
	PartHour                   // u64, hours since 1970
	PartBy                     // the rest, a relay, or nothing
)

// kinds are all kinds of records, in the order in which doc.go tells of them.
var kinds = [...]Kind{
	{Prefix: PrefixLog, Parts: []KeyPart{PartSeq}, check: checkEventRecord, Walked: true,
		use: "event record (event.go draws it), written at acceptance"},
	{Prefix: PrefixID, Parts: []KeyPart{PartID}, check: checkIDRecord,
		use: "an id the app gave: instant, sequence, payload hash, lanes; with the event; expires an " +
			"hour after the dedupe window, and is written again while the event is kept"},
	{Prefix: PrefixLane, Parts: []KeyPart{PartLane}, check: checkLaneRecord,
		use: "lane record: position, what is settled above it, sums, newest receipts"},
	{Prefix: PrefixException, Parts: []KeyPart{PartLane, PartSeq}, check: checkException,
		Walked: true, Again: true,
		use: "exception: due tick, requests made, first failure, last outcome; in the commit that " +
			"lets the position pass"},
	{Prefix: PrefixOrder, Parts: []KeyPart{PartLane, PartOrder, PartSeq}, check: checkEmpty,
		Again: true,
		use:   "an exception that has an order, by that; with the exception"},
	{Prefix: PrefixExhausted, Parts: []KeyPart{PartLane, PartSeq}, check: checkException,
		Walked: true, Again: true,
		use: "exhausted or expired delivery, same fields; swept after KeepExhausted"},
	{Prefix: PrefixPurged, Parts: []KeyPart{PartLane, PartSeq}, check: checkPurged, Walked: true,
		Again: true, use: "instant: a delivery that was purged; goes with the event"},
	{Prefix: PrefixStanding, Parts: []KeyPart{PartLane}, check: checkStanding,
		use: "standing: failed jobs in a row, defective since, held, shut until, gone since; with " +
			"the last outcome of the job that changed it"},
	{Prefix: PrefixNotice, Parts: []KeyPart{PartAbout, PartEpisode, PartWay}, check: checkWord,
		Again: true,
		use: "a notice that is owed to the operator; with the standing. No way: 0. Lane 0 is the spool " +
			"itself."},
	{Prefix: PrefixMemo, Parts: []KeyPart{PartAbout}, check: checkWord, Again: true,
		use: "memo: what the caller noted of a lane (what was warned of), or of lane 0"},
	{Prefix: PrefixState, Parts: []KeyPart{PartKey}, check: checkState,
		use: "small keyed state of the caller (sessions), expires; with the event"},
	{Prefix: PrefixName, Parts: []KeyPart{PartLane}, check: checkName,
		use: "target name; once. Empty: the target was forgotten; see spool/forget.go"},
	{Prefix: PrefixHistory, Parts: []KeyPart{PartLane, PartSeq, PartSlot}, check: checkHistory,
		use: "one attempt: when, outcome, status, duration, beginning of the answer, and of the first " +
			"and the last failure the heads of both; with its exception; the one that succeeded goes " +
			"with the event; see spool/history.go"},
	{Prefix: PrefixRecent, Parts: []KeyPart{PartLane}, check: checkRecent,
		use: "the lane's last attempts, at most every 5 s"},
	{Prefix: PrefixReceipts, Parts: []KeyPart{PartLane, PartSeq}, check: checkReceipts,
		use: "receipts of deliveries that succeeded at once, up to a sequence: instant, status, " +
			"duration; with the lane record, which has the newest; go with the events"},
	{Prefix: PrefixTally, Parts: []KeyPart{PartAbout, PartSlot, PartHour, PartBy}, check: checkWord,
		use: "what the caller counted in the minutes of an hour (slot 0) or the hours of a day (1), of " +
			"a lane or of the spool itself by relay; expires"},
	{Prefix: PrefixAction, Parts: []KeyPart{PartInstant, PartRun}, check: checkWord,
		use: "what an operator did, in the caller's form; when that was carried out; expires " +
			"after 90 days; see spool/notice.go"},
	{Prefix: PrefixUnread, Parts: []KeyPart{PartSeq}, check: checkAny,
		use: "the bytes of a record that could not be read"},
	{Prefix: PrefixReleased, Parts: []KeyPart{PartInstant, PartSeq}, check: checkEmpty,
		use: "an event the sweep passed while a delivery needed it, since released"},
	{Prefix: PrefixMeta, Parts: []KeyPart{PartName}, check: checkMeta,
		use: "format, tick, checkpoint, how far ids are remembered again, when the clock was noticed " +
			"to have gone back"},
	{Prefix: PrefixFlush, check: checkEmpty,
		use: "written and dropped at once, to flush a memtable"},
}

// Kinds are all kinds of records, in the order in which doc.go tells of them. The caller must not
// change them.
func Kinds() []Kind { return kinds[:] }

// KindOf is the kind of a record with this key; nil: there is none.
func KindOf(key []byte) *Kind {
	if len(key) == 0 {
		return nil
	}
	for i := range kinds {
		if kinds[i].Prefix == key[0] {
			return &kinds[i]
		}
	}
	return nil
}

// bytes bounds the length of a part.
func (p KeyPart) bytes() (least, most int) {
	switch p {
	case PartLane, PartAbout:
		return 4, 4
	case PartSeq, PartEpisode, PartOrder, PartInstant, PartRun, PartHour:
		return 8, 8
	case PartSlot:
		return 1, 1
	case PartWay:
		return 0, 1
	}
	return 0, KeyBytesMax
}

// String is the part's name in doc.go.
func (p KeyPart) String() string {
	return [...]string{"lane", "lane", "seq", "episode", "order", "instant", "run", "slot", "way",
		"id", "key", "name", "hour", "by"}[p]
}

// String is the key as doc.go draws it.
func (k *Kind) String() string {
	name := string(rune(k.Prefix))
	if k.Prefix > '~' {
		name = fmt.Sprintf("%#x", k.Prefix)
	}
	for _, p := range k.Parts {
		name += " " + p.String()
	}
	return name
}

// Name says in a few words what a record of the kind is.
func (k *Kind) Name() string {
	if end := strings.IndexAny(k.use, ",;:("); end > 0 {
		return strings.TrimSpace(k.use[:end])
	}
	return k.use
}

// KeyBytes bounds the length of a key.
func (k *Kind) KeyBytes() (least, most int) {
	least, most = 1, 1
	for _, p := range k.Parts {
		l, m := p.bytes()
		least, most = least+l, min(most+m, KeyBytesMax)
	}
	return least, most
}

// Fits says whether a key with the kind's prefix can be one of its keys.
func (k *Kind) Fits(key []byte) error {
	least, most := k.KeyBytes()
	switch n := len(key); {
	case n < least || n > most:
		return fmt.Errorf("its key has %d bytes; want %s", n, rangeText(least, most))
	case n > least && k.Parts[len(k.Parts)-1] == PartWay && key[n-1] == 0:
		return errors.New("its key names way 0, which has no byte of its own")
	}
	return nil
}

func rangeText(least, most int) string {
	if least == most {
		return fmt.Sprint(least)
	}
	return fmt.Sprintf("%d to %d", least, most)
}

// Lane is the lane that a key of the kind is about; false: it is about none, or the spool itself.
func (k *Kind) Lane(key []byte) (LaneID, bool) {
	if len(k.Parts) == 0 || k.Parts[0] != PartLane && k.Parts[0] != PartAbout {
		return 0, false
	}
	id := KeyLane(key)
	return id, k.Parts[0] == PartLane || id != SpoolItself
}

// OfLane are the prefixes of records about a lane, but the one of names.
func OfLane() (prefixes []byte) {
	for i := range kinds {
		k := &kinds[i]
		if k.Prefix != PrefixName && len(k.Parts) > 0 &&
			(k.Parts[0] == PartLane || k.Parts[0] == PartAbout) {
			prefixes = append(prefixes, k.Prefix)
		}
	}
	return prefixes
}

// Check says whether a key and a value can be a record of the spool.
func Check(key, value []byte) error {
	k := KindOf(key)
	if k == nil {
		return errors.New("no table has such a key")
	}
	if err := k.Fits(key); err != nil {
		return err
	}
	return k.check(key, value)
}

func checkEventRecord(key, value []byte) error {
	_, err := DecodeEvent(value, KeySeq(key))
	return err
}

func checkIDRecord(_, value []byte) error {
	_, err := DecodeID(value)
	return err
}

func checkLaneRecord(_, value []byte) error {
	_, err := DecodeLane(value)
	return err
}

func checkException(_, value []byte) error {
	_, err := DecodeException(value)
	return err
}

func checkStanding(_, value []byte) error {
	_, err := DecodeStanding(value)
	return err
}

func checkRecent(_, value []byte) error {
	_, err := DecodeRecent(value)
	return err
}

func checkPurged(_, value []byte) error {
	_, err := DecodeInstant(value)
	return err
}

func checkWord(_, value []byte) error {
	_, err := DecodeWord(value)
	return err
}

// checkState: what is in the envelope is the caller's.
func checkState(_, value []byte) error {
	_, err := DecodeState(value)
	return err
}

func checkName(_, value []byte) error {
	_, err := DecodeName(value)
	return err
}

func checkHistory(_, value []byte) error {
	_, err := DecodeAttempt(value)
	return err
}

func checkMeta(key, value []byte) error {
	switch string(key[1:]) {
	case MetaFormat:
		_, err := DecodeFormat(value)
		return err
	case MetaTick:
		_, err := DecodeTick(value)
		return err
	case MetaCheckpoint:
		_, err := DecodeCheckpoint(value)
		return err
	case MetaIDPass:
		_, err := DecodeIDPass(value)
		return err
	case MetaClock:
		_, err := DecodeInstant(value)
		return err
	}
	return errors.New("there is no such record")
}

// checkAny: what could not be read is kept as it was.
func checkAny(_, _ []byte) error { return nil }

func checkEmpty(_, value []byte) error {
	if len(value) > 0 {
		return fmt.Errorf("its value has %d bytes; want none", len(value))
	}
	return nil
}
