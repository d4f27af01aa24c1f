package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/pb"
	"google.golang.org/protobuf/proto"

	ondisk "github.com/hookspool/hookspool/spool/badger"
	"github.com/hookspool/hookspool/spool/record"
)

// tableList is the engine's manifest: which tables there are, on which level. Badger deletes every
// table that it does not name, and refuses to start if one of those is missing.
type tableList struct {
	tables map[uint64]badger.TableManifest
	// deleted are the tables that it says are gone, whether or not they are.
	deleted map[uint64]bool
	// whole: every change in it could be read. Otherwise it names what was there at some time before,
	// and what it does not name may be needed.
	whole bool
	// changed: it is to be written anew.
	changed bool
	text    []byte // as it is on disk; nil: there is none
}

// manifestVersion is Badger's, of all its releases from v4.0 on.
const manifestVersion = 8

// manifestHead is what every manifest of ours begins with.
func manifestHead() []byte {
	head := append([]byte("Bdgr"), 0, 0, 0, manifestVersion)
	binary.BigEndian.PutUint16(head[4:], ondisk.Magic)
	return head
}

// readTableList reads the manifest as far as it goes. A byte that was flipped is put right: in the
// head, which is always the same, in a change by its checksum, in a length by trying them all. Only
// a head that says another version is an error.
func readTableList(dir string) (*tableList, error) {
	l := &tableList{tables: make(map[uint64]badger.TableManifest), deleted: make(map[uint64]bool)}
	text, err := os.ReadFile(filepath.Join(dir, badger.ManifestFilename))
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read %q: %w", badger.ManifestFilename, err)
	}
	l.text, l.whole = text, true
	rest, err := l.readHead(text)
	if err != nil {
		return nil, err
	}
	for len(rest) > 0 && l.whole {
		content, size, put := readFrame(rest, new(pb.ManifestChangeSet))
		var set pb.ManifestChangeSet
		if size == 0 || proto.Unmarshal(content, &set) != nil || !l.apply(&set) {
			l.whole = false
			break
		}
		l.changed = l.changed || put
		rest = rest[size:]
	}
	return l, nil
}

// readHead takes the head off.
func (l *tableList) readHead(text []byte) ([]byte, error) {
	want := manifestHead()
	if len(text) < len(want) {
		l.whole = false
		return nil, nil
	}
	rest := text[len(want):]
	wrong := 0
	for i := range want {
		if text[i] != want[i] {
			wrong++
		}
	}
	if wrong == 0 {
		return rest, nil
	}
	// A flipped byte in the head is not what a later Badger writes: its next formats.
	if v := binary.BigEndian.Uint16(text[6:]); wrong == 1 && v > manifestVersion &&
		v < 2*manifestVersion {
		return nil, fmt.Errorf("%w: its engine is newer: manifest format %d; want %d", record.ErrFormat,
			v,
			manifestVersion)
	}
	if _, size, _ := readFrame(rest, new(pb.ManifestChangeSet)); wrong > 1 || size == 0 {
		l.whole = false
		return nil, nil
	}
	l.changed = true
	return rest, nil
}

// readFrame reads one change, or one key of the engine's: u32 length, u32 CRC-32C, that many bytes,
// which are a message. size is 0 if it cannot; put says that a byte had to be put right.
func readFrame(b []byte, message proto.Message) (content []byte, size int, put bool) {
	if len(b) < 8 {
		return nil, 0, false
	}
	sum, body := binary.BigEndian.Uint32(b[4:]), b[8:]
	n := int(binary.BigEndian.Uint32(b))
	if n <= len(body) {
		if crc32.Checksum(body[:n], record.Castagnoli()) == sum {
			return body[:n], 8 + n, false
		}
		fixed := binary.BigEndian.AppendUint32(append([]byte(nil), body[:n]...), sum)
		if correctByte(fixed, func() bool {
			return proto.Unmarshal(fixed[:n], message) == nil
		}) {
			return fixed[:n], 8 + n, true
		}
	}
	running := uint32(0)
	for n := 0; ; n++ {
		if running == sum {
			return body[:n], 8 + n, true
		}
		if n == len(body) {
			return nil, 0, false
		}
		running = crc32.Update(running, record.Castagnoli(), body[n:n+1])
	}
}

// apply makes a change; false if it contradicts what was before.
func (l *tableList) apply(set *pb.ManifestChangeSet) bool {
	for _, c := range set.Changes {
		switch c.Op {
		case pb.ManifestChange_CREATE:
			if _, twice := l.tables[c.Id]; twice || c.Level >= ondisk.Levels {
				return false
			}
			l.tables[c.Id] = badger.TableManifest{Level: uint8(c.Level), KeyID: c.KeyId,
				Compression: options.CompressionType(c.Compression)}
			delete(l.deleted, c.Id) // numbers are given again
		case pb.ManifestChange_DELETE:
			delete(l.tables, c.Id)
			l.deleted[c.Id] = true
		default:
			return false
		}
	}
	return true
}

// distrust has what is there decide: a change may be in the list of which the engine then did the
// opposite.
func (l *tableList) distrust() {
	l.whole = false
	clear(l.deleted)
}

// encode is a manifest that names just these tables.
func (l *tableList) encode() ([]byte, error) {
	set := new(pb.ManifestChangeSet)
	for id, t := range l.tables {
		set.Changes = append(set.Changes, &pb.ManifestChange{Id: id, Op: pb.ManifestChange_CREATE,
			Level: uint32(t.Level), KeyId: t.KeyID, EncryptionAlgo: pb.EncryptionAlgo_aes,
			Compression: uint32(t.Compression)})
	}
	content, err := proto.Marshal(set)
	if err != nil {
		return nil, fmt.Errorf("cannot write the manifest: %w", err)
	}
	return appendFrame(manifestHead(), content), nil
}

func appendFrame(b, content []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(content)))
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(content, record.Castagnoli()))
	return append(b, content...)
}
