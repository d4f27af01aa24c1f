package spool

import (
	"encoding/binary"
	"time"
)

// Every key starts with one byte that names its table; recordtable.go says what is in each. Numbers
// are big-endian, so that the order of keys is the order of sequences.
const (
	prefixLog       = 'e' // sequence → event record
	prefixID        = 'i' // id given by the app → idRecord
	prefixLane      = 'l' // lane → laneRecord
	prefixException = 'x' // lane, sequence → exception
	prefixExhausted = 'z' // lane, sequence → exhausted
	prefixStanding  = 'g' // lane → Standing
	prefixNotice    = 'o' // lane, episode, way → owed notice
	prefixMemo      = 'k' // lane → what the caller wants to know again
	prefixMemoOnce  = 'a' // where a memo was before; a key before the log's makes a table span the log
	prefixState     = 's' // small keyed state with expiry
	prefixName      = 'n' // lane → target name
	prefixMeta      = 'm' // name → value
	prefixPurged    = 'p' // lane, sequence → instant; a delivery deleted by hand
	prefixHistory   = 'h' // lane, sequence, slot → one attempt that was made
	prefixRecent    = 'r' // lane → its last attempts
	prefixUnread    = 'q' // sequence → the bytes of a record that could not be read
	prefixReleased  = 'w' // unix nanoseconds of the release, sequence → nothing
	// prefixFlush is written and dropped at once: dropping a prefix is Badger's only way to flush a
	// memtable at will, and it does nothing for a prefix without a key.
	prefixFlush = 0xff
)

// LaneID is the number of a lane, which records name it by: from 1, in the order of their making.
type LaneID uint32

// SpoolItself stands in keys where a lane would, for the spool itself.
const SpoolItself LaneID = 0

// keyBytesMax bounds a key: those of the callers' ids and small state are the longest.
const keyBytesMax = 1 << 10

const (
	metaFormat     = "format"     // formatRecord
	metaTick       = "tick"       // u64 number, i64 unix nanoseconds
	metaCheckpoint = "checkpoint" // u64 head, u64 swept
)

func logKey(seq uint64) []byte {
	k := make([]byte, 9)
	k[0] = prefixLog
	binary.BigEndian.PutUint64(k[1:], seq)
	return k
}

func idKey(id string) []byte {
	return append([]byte{prefixID}, id...)
}

func laneKey(prefix byte, lane LaneID) []byte {
	k := make([]byte, 5)
	k[0] = prefix
	binary.BigEndian.PutUint32(k[1:], uint32(lane))
	return k
}

func laneSeqKey(prefix byte, lane LaneID, seq uint64) []byte {
	k := make([]byte, 13)
	k[0] = prefix
	binary.BigEndian.PutUint32(k[1:], uint32(lane))
	binary.BigEndian.PutUint64(k[5:], seq)
	return k
}

// stateKey is the key of a caller's small state.
func stateKey(key []byte) []byte { return append([]byte{prefixState}, key...) }

func metaKey(name string) []byte {
	return append([]byte{prefixMeta}, name...)
}

func unreadKey(seq uint64) []byte {
	k := logKey(seq)
	k[0] = prefixUnread
	return k
}

// noticeBytes is the length of a notice's key; one for a way of its own has a byte more. The first
// way has none, as it was when there was only one.
const noticeBytes = 13

func noticeKey(lane LaneID, episode uint64, way uint8) []byte {
	k := laneSeqKey(prefixNotice, lane, episode)
	if way > 0 {
		k = append(k, way)
	}
	return k
}

// keyNotice is the episode and the way in a notice's key.
func keyNotice(key []byte) (episode uint64, way uint8) {
	if len(key) > noticeBytes {
		way = key[noticeBytes]
	}
	return binary.BigEndian.Uint64(key[5:]), way
}

func releasedKey(at time.Time, seq uint64) []byte {
	k := make([]byte, 17)
	k[0] = prefixReleased
	binary.BigEndian.PutUint64(k[1:], uint64(at.UnixNano()))
	binary.BigEndian.PutUint64(k[9:], seq)
	return k
}

// keyInstant is the instant a key begins with.
func keyInstant(key []byte) int64 { return int64(binary.BigEndian.Uint64(key[1:])) }

// keyLane is the lane a key with a lane in it is about.
func keyLane(key []byte) LaneID { return LaneID(binary.BigEndian.Uint32(key[1:])) }

// keySeq is the sequence a log, exception or exhausted key ends with.
func keySeq(key []byte) uint64 {
	return binary.BigEndian.Uint64(key[len(key)-8:])
}
