package record

import (
	"encoding/binary"
	"time"
)

// Every key starts with one byte that names its table; table.go says what is in each. Numbers
// are big-endian, so that the order of keys is the order of sequences.
const (
	PrefixLog       = 'e' // sequence → event record
	PrefixID        = 'i' // id given by the app → idRecord
	PrefixLane      = 'l' // lane → laneRecord
	PrefixException = 'x' // lane, sequence → exception
	PrefixExhausted = 'z' // lane, sequence → exhausted
	PrefixStanding  = 'g' // lane → Standing
	PrefixNotice    = 'o' // lane, episode, way → owed notice
	PrefixMemo      = 'k' // lane → what the caller wants to know again
	PrefixMemoOnce  = 'a' // where a memo was before; a key before the log's makes a table span the log
	PrefixState     = 's' // small keyed state with expiry
	PrefixName      = 'n' // lane → target name
	PrefixMeta      = 'm' // name → value
	PrefixPurged    = 'p' // lane, sequence → instant; a delivery deleted by hand
	PrefixHistory   = 'h' // lane, sequence, slot → one attempt that was made
	PrefixRecent    = 'r' // lane → its last attempts
	PrefixUnread    = 'q' // sequence → the bytes of a record that could not be read
	PrefixReleased  = 'w' // unix nanoseconds of the release, sequence → nothing
	// PrefixFlush is written and dropped at once: dropping a prefix is Badger's only way to flush a
	// memtable at will, and it does nothing for a prefix without a key.
	PrefixFlush = 0xff
)

// LaneID is the number of a lane, which records name it by: from 1, in the order of their making.
type LaneID uint32

// SpoolItself stands in keys where a lane would, for the spool itself.
const SpoolItself LaneID = 0

// KeyBytesMax bounds a key: those of the callers' ids and small state are the longest.
const KeyBytesMax = 1 << 10

const (
	MetaFormat     = "format"     // formatRecord
	MetaTick       = "tick"       // u64 number, i64 unix nanoseconds
	MetaCheckpoint = "checkpoint" // u64 head, u64 swept
)

// LogKey is the key of an event.
func LogKey(seq uint64) []byte {
	k := make([]byte, 9)
	k[0] = PrefixLog
	binary.BigEndian.PutUint64(k[1:], seq)
	return k
}

// IDKey is the key of an id that an app gave.
func IDKey(id string) []byte {
	return append([]byte{PrefixID}, id...)
}

// LaneKey is the key of what there is once for a lane, and how all keys of a lane begin.
func LaneKey(prefix byte, lane LaneID) []byte {
	k := make([]byte, 5)
	k[0] = prefix
	binary.BigEndian.PutUint32(k[1:], uint32(lane))
	return k
}

// LaneSeqKey is the key of what there is for one delivery.
func LaneSeqKey(prefix byte, lane LaneID, seq uint64) []byte {
	k := make([]byte, 13)
	k[0] = prefix
	binary.BigEndian.PutUint32(k[1:], uint32(lane))
	binary.BigEndian.PutUint64(k[5:], seq)
	return k
}

// StateKey is the key of a caller's small state.
func StateKey(key []byte) []byte { return append([]byte{PrefixState}, key...) }

// MetaKey is the key of one of the spool's own records.
func MetaKey(name string) []byte {
	return append([]byte{PrefixMeta}, name...)
}

// UnreadKey is the key under which the bytes of an unreadable event are kept.
func UnreadKey(seq uint64) []byte {
	k := LogKey(seq)
	k[0] = PrefixUnread
	return k
}

// noticeBytes is the length of a notice's key; one for a way of its own has a byte more. The first
// way has none, as it was when there was only one.
const noticeBytes = 13

// NoticeKey is the key of an owed notice.
func NoticeKey(lane LaneID, episode uint64, way uint8) []byte {
	k := LaneSeqKey(PrefixNotice, lane, episode)
	if way > 0 {
		k = append(k, way)
	}
	return k
}

// KeyNotice is the episode and the way in a notice's key.
func KeyNotice(key []byte) (episode uint64, way uint8) {
	if len(key) > noticeBytes {
		way = key[noticeBytes]
	}
	return binary.BigEndian.Uint64(key[5:]), way
}

// ReleasedKey is the key of an event that the sweep has passed and that was released since.
func ReleasedKey(at time.Time, seq uint64) []byte {
	k := make([]byte, 17)
	k[0] = PrefixReleased
	binary.BigEndian.PutUint64(k[1:], uint64(at.UnixNano()))
	binary.BigEndian.PutUint64(k[9:], seq)
	return k
}

// KeyInstant is the instant a key begins with.
func KeyInstant(key []byte) int64 { return int64(binary.BigEndian.Uint64(key[1:])) }

// KeyLane is the lane a key with a lane in it is about.
func KeyLane(key []byte) LaneID { return LaneID(binary.BigEndian.Uint32(key[1:])) }

// KeySeq is the sequence a log, exception or exhausted key ends with.
func KeySeq(key []byte) uint64 {
	return binary.BigEndian.Uint64(key[len(key)-8:])
}
