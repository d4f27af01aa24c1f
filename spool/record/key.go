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
	PrefixOrder     = 'y' // lane, order, sequence → nothing
	PrefixExhausted = 'z' // lane, sequence → exhausted
	PrefixStanding  = 'g' // lane → Standing
	PrefixNotice    = 'o' // lane, episode, way → owed notice
	PrefixMemo      = 'k' // lane → what the caller wants to know again
	PrefixState     = 's' // small keyed state with expiry
	PrefixName      = 'n' // lane → target name
	PrefixMeta      = 'm' // name → value
	PrefixPurged    = 'p' // lane, sequence → instant; a delivery deleted by hand
	PrefixHistory   = 'h' // lane, sequence, slot → one attempt that was made
	PrefixRecent    = 'r' // lane → its last attempts
	PrefixReceipts  = 'v' // lane, highest sequence → when deliveries succeeded
	PrefixTally     = 't' // lane, slot, hour, relay → what was counted in a stretch of time
	PrefixUnread    = 'q' // sequence → the bytes of a record that could not be read
	PrefixAction    = 'j' // unix nanoseconds of its begin, run → what an operator did
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
	MetaIDPass     = "ids"        // u64 number, u64 sequence, u64 seconds
	MetaClock      = "clock"      // i64 unix nanoseconds
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

// LaneSeqBytes is the length of the key of a delivery.
const LaneSeqBytes = 13

// LaneSeqKey is the key of what there is for one delivery.
func LaneSeqKey(prefix byte, lane LaneID, seq uint64) []byte {
	k := make([]byte, LaneSeqBytes)
	k[0] = prefix
	binary.BigEndian.PutUint32(k[1:], uint32(lane))
	binary.BigEndian.PutUint64(k[5:], seq)
	return k
}

// OrderKey is the key of a pending delivery among those of its order.
func OrderKey(lane LaneID, order, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(OrderPrefix(lane, order), seq)
}

// OrderPrefix is how the keys of an order's pending deliveries begin.
func OrderPrefix(lane LaneID, order uint64) []byte {
	return binary.BigEndian.AppendUint64(LaneKey(PrefixOrder, lane), order)
}

// StateKey is the key of a caller's small state.
func StateKey(key []byte) []byte { return append([]byte{PrefixState}, key...) }

// MetaKey is the key of one of the spool's own records.
func MetaKey(name string) []byte {
	return append([]byte{PrefixMeta}, name...)
}

// TallyKey is the key of what was counted from an hour on, in hours since 1970: in its minutes for
// slot 0, and in the hours of the day that it begins for slot 1. by is the relay that counted it;
// empty: there is only one.
func TallyKey(about LaneID, slot uint8, hour uint64, by string) []byte {
	k := append(LaneKey(PrefixTally, about), slot)
	return append(binary.BigEndian.AppendUint64(k, hour), by...)
}

// KeyTallyBy is the relay in a tally's key; empty: there is only one.
func KeyTallyBy(key []byte) string { return string(key[14:]) }

// KeyTallyHour is the hour in a tally's key.
func KeyTallyHour(key []byte) uint64 { return binary.BigEndian.Uint64(key[6:]) }

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

// ActionKey is the key of what an operator did: when it began, and a number that tells two of one
// instant apart.
func ActionKey(at time.Time, run uint64) []byte {
	k := ReleasedKey(at, run)
	k[0] = PrefixAction
	return k
}

// KeyInstant is the instant a key begins with.
func KeyInstant(key []byte) int64 { return int64(binary.BigEndian.Uint64(key[1:])) }

// KeyLane is the lane a key with a lane in it is about.
func KeyLane(key []byte) LaneID { return LaneID(binary.BigEndian.Uint32(key[1:])) }

// KeyDelivery is the sequence after the lane in a key that has both, whatever comes after it.
func KeyDelivery(key []byte) uint64 { return binary.BigEndian.Uint64(key[5:]) }

// KeySeq is the sequence a log, exception or exhausted key ends with.
func KeySeq(key []byte) uint64 {
	return binary.BigEndian.Uint64(key[len(key)-8:])
}
