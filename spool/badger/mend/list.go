package mend

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"

	"github.com/dgraph-io/badger/v4/pb"
	"google.golang.org/protobuf/proto"
)

// List is the engine's manifest: which tables there are, on which level. Badger deletes every
// table that it does not name, and refuses to start if one of those is missing.
type List struct {
	// Tables are those that it names, by number.
	Tables map[uint64]Listed
	// deleted are the tables that it says are gone, whether or not they are.
	deleted map[uint64]bool
	// whole: every change in it could be read. Otherwise it names what was there at some time before,
	// and what it does not name may be needed.
	whole  bool
	empty  bool // there is none
	format ListFormat
}

// Listed is what the list says of a table. The zero value is for one on level 0, in the clear.
type Listed struct {
	Level       uint8
	KeyID       uint64 // 0: it is in the clear
	Compression uint32
}

// ListFormat is what the options of an engine put into its list.
type ListFormat struct {
	Magic  uint16 // ExternalMagicVersion
	Levels int    // MaxLevels
}

// NewerError: a later Badger has written the list.
type NewerError struct{ Version uint16 }

func (e *NewerError) Error() string {
	return fmt.Sprintf("its engine is newer: manifest format %d; want %d", e.Version, listVersion)
}

const (
	listVersion   = 8 // Badger's, of all its releases from v4.0 on
	listHeadBytes = 8
)

// head is what every list of the format begins with.
func (f ListFormat) head() []byte {
	b := append([]byte("Bdgr"), 0, 0, 0, listVersion)
	binary.BigEndian.PutUint16(b[4:], f.Magic)
	return b
}

// Read reads a list as far as it goes; a text that is nil is one that is not there. The error is a
// NewerError.
func (f ListFormat) Read(text []byte) (*List, error) {
	l := &List{Tables: make(map[uint64]Listed), deleted: make(map[uint64]bool), format: f,
		empty: text == nil}
	rest, err := l.readHead(text)
	if err != nil {
		return nil, err
	}
	for l.whole && len(rest) > 0 {
		content, size := readFrame(rest)
		var set pb.ManifestChangeSet
		if size == 0 || proto.Unmarshal(content, &set) != nil || !l.apply(&set) {
			l.whole = false
			break
		}
		rest = rest[size:]
	}
	return l, nil
}

// readHead takes the head off.
func (l *List) readHead(text []byte) ([]byte, error) {
	want := l.format.head()
	if len(text) < len(want) {
		return nil, nil
	}
	wrong := 0
	for i := range want {
		if text[i] != want[i] {
			wrong++
		}
	}
	// A flipped byte in the head is not what a later Badger writes: its next formats.
	if v := binary.BigEndian.Uint16(text[6:]); wrong == 1 && v > listVersion && v < 2*listVersion {
		return nil, &NewerError{Version: v}
	}
	l.whole = wrong == 0
	return text[len(want):], nil
}

// readFrame reads one change, or one key of the engine's; doc.go draws it. size is 0 if it cannot.
func readFrame(b []byte) (content []byte, size int) {
	if len(b) < 8 {
		return nil, 0
	}
	n := int(binary.BigEndian.Uint32(b))
	if n > len(b)-8 || crc32.Checksum(b[8:8+n], castagnoli()) != binary.BigEndian.Uint32(b[4:]) {
		return nil, 0
	}
	return b[8 : 8+n], 8 + n
}

// apply makes a change; false if it contradicts what was before.
func (l *List) apply(set *pb.ManifestChangeSet) bool {
	for _, c := range set.Changes {
		switch c.Op {
		case pb.ManifestChange_CREATE:
			if _, twice := l.Tables[c.Id]; twice || int64(c.Level) >= int64(l.format.Levels) {
				return false
			}
			l.Tables[c.Id] = Listed{Level: uint8(c.Level), KeyID: c.KeyId, Compression: c.Compression}
			delete(l.deleted, c.Id) // numbers are given again
		case pb.ManifestChange_DELETE:
			delete(l.Tables, c.Id)
			l.deleted[c.Id] = true
		default:
			return false
		}
	}
	return true
}

// Distrust has what is there decide: a change may be in the list of which the engine then did the
// opposite.
func (l *List) Distrust() {
	l.whole = false
	clear(l.deleted)
}

// Empty reports whether there is no list.
func (l *List) Empty() bool { return l.empty }

// Encode is a list that names just its tables.
func (l *List) Encode() []byte {
	set := new(pb.ManifestChangeSet)
	for _, id := range slices.Sorted(maps.Keys(l.Tables)) {
		t := l.Tables[id]
		set.Changes = append(set.Changes, &pb.ManifestChange{Id: id, Op: pb.ManifestChange_CREATE,
			Level: uint32(t.Level), KeyId: t.KeyID, EncryptionAlgo: pb.EncryptionAlgo_aes,
			Compression: t.Compression})
	}
	content, err := proto.Marshal(set)
	if err != nil {
		panic("BUG: a list of tables is no message: " + err.Error())
	}
	return appendFrame(l.format.head(), content)
}

func appendFrame(b, content []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(content)))
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(content, castagnoli()))
	return append(b, content...)
}
