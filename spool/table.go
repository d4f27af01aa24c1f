package spool

import (
	"errors"
	"fmt"
)

// kind is one kind of record: what its key looks like, what reads its value, and how those who go
// through the whole spool treat it. Nobody else lists prefixes: the salvage of a log tells an entry
// from noise by this table, verify checks every record by it, a repair knows from it which
// deletions to make again, and a test compares it with the table in doc.go. Any of them may be the
// first entry of a log: the engine begins one in the middle of whatever is being written.
type kind struct {
	prefix byte
	parts  []keyPart // of the key, after the prefix
	use    string    // as doc.go tells it
	// check reads a value as whoever needs it does. The key fits.
	check func(key, value []byte) error
	// walked: it is read beside the log, lane by lane, so verify does not look at it by itself.
	walked bool
	// again: a deletion of one is made again after a repair; see deleteAgain.
	again bool
}

// keyPart is one part of a key.
type keyPart uint8

const (
	partLane    keyPart = iota // u32
	partAbout                  // u32, a lane or SpoolItself
	partSeq                    // u64
	partEpisode                // u64
	partInstant                // u64 unix nanoseconds
	partSlot                   // u8
	partWay                    // u8 from 1, or nothing
	partID                     // the rest
	partKey                    // the rest
	partName                   // the rest
)

// kinds are all kinds of records, in the order in which doc.go tells of them.
var kinds = [...]kind{
	{prefix: prefixLog, parts: []keyPart{partSeq}, check: checkEventRecord, walked: true,
		use: "event record (record.go draws it), written at acceptance"},
	{prefix: prefixID, parts: []keyPart{partID}, check: checkIDRecord,
		use: "an id the app gave: instant, sequence, payload hash, lanes; with the event; expires an " +
			"hour after the dedupe window"},
	{prefix: prefixLane, parts: []keyPart{partLane}, check: checkLaneRecord,
		use: "lane record: position, what is settled above it, sums; see Checkpoints"},
	{prefix: prefixException, parts: []keyPart{partLane, partSeq}, check: checkException,
		walked: true, again: true,
		use: "exception: due tick, requests made, first failure, last outcome; in the commit that " +
			"lets the position pass"},
	{prefix: prefixExhausted, parts: []keyPart{partLane, partSeq}, check: checkException,
		walked: true, again: true,
		use: "exhausted delivery, same fields; swept after KeepExhausted"},
	{prefix: prefixPurged, parts: []keyPart{partLane, partSeq}, check: checkPurged, walked: true,
		again: true, use: "instant: a delivery that was purged; goes with the event"},
	{prefix: prefixStanding, parts: []keyPart{partLane}, check: checkStanding,
		use: "standing: failed jobs in a row, defective since, held; with the last outcome of the job " +
			"that changed it"},
	{prefix: prefixNotice, parts: []keyPart{partAbout, partEpisode, partWay}, check: checkWord,
		again: true,
		use: "a notice that is owed to the operator; with the standing. No way: 0. Lane 0 is the spool " +
			"itself."},
	{prefix: prefixMemo, parts: []keyPart{partAbout}, check: checkWord, again: true,
		use: "memo: what the caller noted of a lane (what was warned of), or of lane 0"},
	{prefix: prefixMemoOnce, parts: []keyPart{partAbout}, check: checkWord,
		use: "where a memo was before; the one under k hides it"},
	{prefix: prefixState, parts: []keyPart{partKey}, check: checkState,
		use: "small keyed state of the caller (sessions), expires; with the event"},
	{prefix: prefixName, parts: []keyPart{partLane}, check: checkName,
		use: "target name; once. Empty: the target was forgotten; see forget.go"},
	{prefix: prefixHistory, parts: []keyPart{partLane, partSeq, partSlot}, check: checkHistory,
		use: "one attempt: when, outcome, status, duration, beginning of the answer; with its " +
			"exception; see history.go"},
	{prefix: prefixRecent, parts: []keyPart{partLane}, check: checkRecent,
		use: "the lane's last attempts, at most every 5 s"},
	{prefix: prefixUnread, parts: []keyPart{partSeq}, check: checkAny,
		use: "the bytes of a record that could not be read"},
	{prefix: prefixReleased, parts: []keyPart{partInstant, partSeq}, check: checkEmpty,
		use: "an event the sweep passed while a delivery needed it, since released"},
	{prefix: prefixMeta, parts: []keyPart{partName}, check: checkMeta,
		use: "format, tick, checkpoint"},
	{prefix: prefixFlush, check: checkEmpty,
		use: "written and dropped at once, to flush a memtable"},
}

// kindOf is the kind of a record with this key; nil: there is none.
func kindOf(key []byte) *kind {
	if len(key) == 0 {
		return nil
	}
	for i := range kinds {
		if kinds[i].prefix == key[0] {
			return &kinds[i]
		}
	}
	return nil
}

// bytes bounds the length of a part.
func (p keyPart) bytes() (least, most int) {
	switch p {
	case partLane, partAbout:
		return 4, 4
	case partSeq, partEpisode, partInstant:
		return 8, 8
	case partSlot:
		return 1, 1
	case partWay:
		return 0, 1
	}
	return 0, keyBytesMax
}

// String is the part's name in doc.go.
func (p keyPart) String() string {
	return [...]string{"lane", "lane", "seq", "episode", "instant", "slot", "way", "id", "key",
		"name"}[p]
}

// String is the key as doc.go draws it.
func (k *kind) String() string {
	name := string(rune(k.prefix))
	if k.prefix > '~' {
		name = fmt.Sprintf("%#x", k.prefix)
	}
	for _, p := range k.parts {
		name += " " + p.String()
	}
	return name
}

// keyBytes bounds the length of a key.
func (k *kind) keyBytes() (least, most int) {
	least, most = 1, 1
	for _, p := range k.parts {
		l, m := p.bytes()
		least, most = least+l, min(most+m, keyBytesMax)
	}
	return least, most
}

// fits says whether a key with the kind's prefix can be one of its keys.
func (k *kind) fits(key []byte) error {
	least, most := k.keyBytes()
	switch n := len(key); {
	case n < least || n > most:
		return fmt.Errorf("its key has %d bytes; want %s", n, rangeText(least, most))
	case n > least && k.parts[len(k.parts)-1] == partWay && key[n-1] == 0:
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

// lane is the lane that a key of the kind is about; false: it is about none, or the spool itself.
func (k *kind) lane(key []byte) (LaneID, bool) {
	if len(k.parts) == 0 || k.parts[0] != partLane && k.parts[0] != partAbout {
		return 0, false
	}
	id := keyLane(key)
	return id, k.parts[0] == partLane || id != SpoolItself
}

// ofLane are the prefixes of records about a lane, but the one of names.
func ofLane() (prefixes []byte) {
	for i := range kinds {
		k := &kinds[i]
		if k.prefix != prefixName && len(k.parts) > 0 &&
			(k.parts[0] == partLane || k.parts[0] == partAbout) {
			prefixes = append(prefixes, k.prefix)
		}
	}
	return prefixes
}

// checkRecord says whether a key and a value can be a record of the spool.
func checkRecord(key, value []byte) error {
	k := kindOf(key)
	if k == nil {
		return errors.New("no table has such a key")
	}
	if err := k.fits(key); err != nil {
		return err
	}
	return k.check(key, value)
}

func checkEventRecord(key, value []byte) error {
	_, err := decodeEvent(value, keySeq(key))
	return err
}

func checkIDRecord(_, value []byte) error {
	_, err := decodeIDRecord(value)
	return err
}

func checkLaneRecord(_, value []byte) error {
	_, err := decodeLaneRecord(value)
	return err
}

func checkException(_, value []byte) error {
	_, err := decodeException(value)
	return err
}

func checkStanding(_, value []byte) error {
	_, err := decodeStanding(value)
	return err
}

func checkRecent(_, value []byte) error {
	_, err := decodeRecent(value)
	return err
}

func checkPurged(_, value []byte) error {
	_, err := decodePurged(value)
	return err
}

func checkWord(_, value []byte) error {
	_, err := decodeWord(value)
	return err
}

// checkState: what is in the envelope is the caller's.
func checkState(_, value []byte) error {
	_, err := decodeState(value)
	return err
}

func checkName(_, value []byte) error {
	_, err := decodeName(value)
	return err
}

func checkHistory(_, value []byte) error {
	_, err := decodeAttempt(value)
	return err
}

func checkMeta(key, value []byte) error {
	switch string(key[1:]) {
	case metaFormat:
		_, err := decodeFormat(value)
		return err
	case metaTick:
		_, err := decodeTick(value)
		return err
	case metaCheckpoint:
		_, err := decodeCheckpoint(value)
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
