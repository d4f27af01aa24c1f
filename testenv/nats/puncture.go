package nats

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// A record of a server's file of messages: its length in 4 bytes, of which the highest says that it
// has a header, then its sequence in 8, whose highest two mark what is no message.
const (
	recordHeadBytes = 12
	lengthMask      = 1<<31 - 1
	noMessageBits   = 3 << 62
)

// Puncture takes messages out of the middle of the node's copy of a stream, without a trace, as a
// power cut while it caught up may do: the node goes on after its newest message and says that it
// is current. The node must not run. It returns the sequences of what is gone.
func (n *Node) Puncture(stream string, from, to uint64) (gone []uint64) {
	n.t.Helper()
	if n.running {
		n.t.Fatalf("%s runs", n.name)
	}
	dir := filepath.Join(n.store, "jetstream", "$G", "streams", stream, "msgs")
	err := os.Remove(filepath.Join(dir, "index.db")) // it says how many messages there are
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		n.t.Fatal(err)
	}
	blocks, err := filepath.Glob(filepath.Join(dir, "*.blk"))
	if err != nil || len(blocks) == 0 {
		n.t.Fatalf("%s has no files of messages: %v", n.name, err)
	}
	for _, path := range blocks {
		raw, err := os.ReadFile(path)
		if err != nil {
			n.t.Fatal(err)
		}
		kept, cut, err := cutRecords(raw, from, to)
		if err == nil && len(cut) > 0 {
			err = os.WriteFile(path, kept, 0o600)
		}
		if err != nil {
			n.t.Fatalf("%s: %v", path, err)
		}
		gone = append(gone, cut...)
	}
	slices.Sort(gone)
	return gone
}

// cutRecords leaves out the messages with these sequences.
func cutRecords(raw []byte, from, to uint64) (kept []byte, gone []uint64, err error) {
	for len(raw) > 0 {
		if len(raw) < recordHeadBytes {
			return nil, nil, fmt.Errorf("%d bytes at the end are no record", len(raw))
		}
		size := int(binary.LittleEndian.Uint32(raw) & lengthMask)
		seq := binary.LittleEndian.Uint64(raw[4:])
		if size < recordHeadBytes || size > len(raw) {
			return nil, nil, fmt.Errorf("a record of %d bytes, where %d are left", size, len(raw))
		}
		if seq&noMessageBits == 0 && seq >= from && seq <= to {
			gone = append(gone, seq)
		} else {
			kept = append(kept, raw[:size]...)
		}
		raw = raw[size:]
	}
	return kept, gone, nil
}
