package mend

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"testing"
)

const testSecret = "0123456789abcdef"

// testRecords are of three kinds: an event is an e and its number, and says where its batch ends;
// an x may be anything short; a z is empty.
func testRecords() Records {
	return Records{
		Check: func(key, value []byte) error {
			switch {
			case key[0] == 'e' && len(key) == 9 && (value == nil || len(value) >= 8):
			case key[0] == 'x' && len(key) < 30:
			case key[0] == 'z' && len(value) == 0:
			default:
				return errors.New("no record")
			}
			return nil
		},
		Event: func(key, value []byte) (seq, batchEnd uint64) {
			if len(key) != 9 || key[0] != 'e' || value != nil && len(value) < 8 {
				return 0, 0
			}
			if value == nil {
				return binary.BigEndian.Uint64(key[1:]), 0
			}
			return binary.BigEndian.Uint64(key[1:]), binary.BigEndian.Uint64(value)
		},
	}
}

func eventKey(seq uint64) []byte { return binary.BigEndian.AppendUint64([]byte{'e'}, seq) }

func eventValue(seq, batchEnd uint64) []byte {
	return append(binary.BigEndian.AppendUint64(nil, batchEnd),
		bytes.Repeat([]byte{byte(seq), 0x40, 0}, int(20*seq))...)
}

// newLog is a log without an entry.
func newLog(secret string, keyID uint64) *wal {
	w := newWAL(binary.BigEndian.AppendUint64(nil, keyID), testRecords().Check)
	if secret != "" {
		w.secret = []byte(secret)
		w.iv = [12]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
	}
	w.b = append(w.b, w.iv[:]...)
	return w
}

func (w *wal) event(txn, seq, batchEnd uint64) {
	w.write(metaInTxn, 0, eventKey(seq), txn, eventValue(seq, batchEnd))
}

// testEvents are in a testLog.
const testEvents = 6

// testLog has transactions of one event, of a batch, of a deletion and of other records.
func testLog(secret string, keyID uint64) *wal {
	w := newLog(secret, keyID)
	w.event(1, 1, 0)
	w.writeEnd(1)
	w.event(2, 2, 3)
	w.event(2, 3, 3)
	w.write(metaInTxn, 1<<40, []byte("x id"), 2, []byte("of 3"))
	w.writeEnd(2)
	w.write(metaInTxn|metaDeleted, 0, []byte("x gone"), 3, nil)
	w.write(metaInTxn, 0, []byte("z"), 3, nil)
	w.writeEnd(3)
	for seq := uint64(4); seq <= testEvents; seq++ {
		w.event(seq, seq, 0)
		w.writeEnd(seq)
	}
	return w
}

func testKeys(secret string) Keys {
	if secret == "" {
		return nil
	}
	return Keys{1: []byte("another key of16"), 2: []byte(secret)}
}

// file is what a file with the bytes of a log looks like.
func file(b []byte) []byte { return append(bytes.Clone(b), make([]byte, LogSlack)...) }

func openTestLog(t *testing.T, text []byte, keys Keys) *Log {
	t.Helper()
	l, err := OpenLog(text, keys, testRecords())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// both runs a test in the clear and encrypted.
func both(t *testing.T, test func(t *testing.T, secret string, keyID uint64)) {
	t.Run("clear", func(t *testing.T) { test(t, "", 0) })
	t.Run("encrypted", func(t *testing.T) { test(t, testSecret, 2) })
}

// told is what a log says: its entries, whatever place and encryption they have.
func told(entries []Entry) []string {
	out := make([]string, 0, len(entries))
	for _, e := range entries {
		out = append(out, fmt.Sprintf("%d %q %d %08x %v", e.Txn, e.Key, len(e.Value),
			crc32.ChecksumIEEE(e.Value), e.Deleted))
	}
	return out
}

// places are where the entries of a log are, those that end a transaction included.
func places(w *wal) (at []walEntry) {
	for p := LogHeadBytes; p < len(w.b); {
		e, ok := w.entry(p)
		if !ok {
			break
		}
		at = append(at, e)
		p += e.size
	}
	return at
}

// holds wants a log to hold some entries and nothing else, and what is made of it to read the
// same.
func holds(t *testing.T, what string, l *Log, keys Keys, want []string) {
	t.Helper()
	if got := told(l.Entries()); !slices.Equal(got, want) {
		t.Fatalf("%s: it holds %q; want %q", what, got, want)
	}
	again := openTestLog(t, file(l.Text()), keys)
	again.Judge(0, 0)
	if again.Damaged() || again.Cut() > 0 || !slices.Equal(told(again.Entries()), want) {
		t.Fatalf("%s: made again it is damaged: %v, and holds %q", what, again.Damaged(),
			told(again.Entries()))
	}
}

// A sound log is not damaged, and made again it is the same.
func TestLogSound(t *testing.T) {
	both(t, func(t *testing.T, secret string, keyID uint64) {
		w := testLog(secret, keyID)
		l := openTestLog(t, file(w.b), testKeys(secret))
		l.Judge(0, 0)
		if l.Damaged() || l.Cut() > 0 || l.Transactions() != testEvents || l.First() != 1 ||
			l.NewestEvent() != testEvents || l.Promised() != 0 {
			t.Errorf("%+v", l)
		}
		if secret == "" && !bytes.Equal(l.Text(), w.b) {
			t.Error("made again it is another")
		}
		if secret != "" && bytes.Equal(l.Text()[8:20], w.b[8:20]) {
			t.Error("one counter encrypts two texts")
		}
	})
}

// Whichever byte of a log is changed, and however, it costs the entry that the byte is in and
// nothing else. The end of a transaction costs nothing, not even the newest one, whoever was told
// of it.
func TestLogFlippedByte(t *testing.T) {
	both(t, func(t *testing.T, secret string, keyID uint64) {
		w, keys := testLog(secret, keyID), testKeys(secret)
		all := openTestLog(t, file(w.b), keys).Entries()
		for _, e := range places(w) {
			want := told(slices.DeleteFunc(slices.Clone(all), func(x Entry) bool { return x.At == e.at }))
			for at := e.at; at < e.at+e.size; at++ {
				for _, flip := range []byte{1, 0x10, 0x80, 0xff} {
					b := file(w.b)
					if b[at] ^= flip; b[at] == 0 {
						continue // zeros at a log's end may never have been written; see TestLogLast
					}
					l := openTestLog(t, b, keys)
					l.Judge(0, 0)
					lost, n := l.Lost()
					if !l.Damaged() || lost+l.Ended() == 0 || n != e.size {
						t.Fatalf("byte %d xor %x: damaged %v, %d places, %d bytes lost; want %d", at, flip,
							l.Damaged(), lost, n, e.size)
					}
					holds(t, fmt.Sprintf("byte %d xor %x", at, flip), l, keys, want)
				}
			}
		}
	})
}

// Whichever entry is destroyed, alone or with its neighbour, everything else is there; and whoever
// reads it is told how far a batch went that lost its end.
func TestLogDestroyedEntry(t *testing.T) {
	both(t, func(t *testing.T, secret string, keyID uint64) {
		w, keys := testLog(secret, keyID), testKeys(secret)
		all := openTestLog(t, file(w.b), keys).Entries()
		entries := places(w)
		ways := []func(b []byte){
			func(b []byte) { clear(b[:4]) },
			func(b []byte) { clear(b) },
			func(b []byte) { copy(b, bytes.Repeat([]byte{0xa5}, len(b))) },
		}
		for i, e := range entries {
			for n := 1; n <= 2 && i+n <= len(entries); n++ {
				end := entries[i+n-1].at + entries[i+n-1].size
				want := told(slices.DeleteFunc(slices.Clone(all), func(x Entry) bool {
					return x.At >= e.at && x.At < end
				}))
				for way, destroy := range ways {
					b := file(w.b)
					for _, x := range entries[i : i+n] {
						destroy(b[x.at : x.at+x.size])
					}
					l := openTestLog(t, b, keys)
					l.Judge(testEvents, 0)
					holds(t, fmt.Sprintf("%d entries at %d, way %d", n, e.at, way), l, keys, want)
					if key := string(e.key); key == string(eventKey(3)) && n == 1 && l.Promised() != 3 {
						t.Errorf("way %d: the batch is said to end at %d; want 3", way, l.Promised())
					}
				}
			}
		}
	})
}

// A log that is cut off anywhere holds what was before the cut; the transaction that the cut is in
// only if an event of it was answered, or if a later log goes on after it.
func TestLogCut(t *testing.T) {
	both(t, func(t *testing.T, secret string, keyID uint64) {
		w, keys := testLog(secret, keyID), testKeys(secret)
		all := openTestLog(t, file(w.b), keys).Entries()
		for cut := LogHeadBytes; cut < len(w.b); cut++ {
			whole, begun := 0, 0
			for _, e := range all {
				if e.At+e.Bytes <= cut {
					begun++
				}
			}
			ends := 0
			for _, e := range places(w) {
				if e.ends() && e.at+e.size <= cut {
					ends++
					whole = len(slices.DeleteFunc(slices.Clone(all), func(x Entry) bool { return x.Txn > e.txn }))
				}
			}
			f := func(answered, later uint64, want int) {
				l := openTestLog(t, file(w.b[:cut]), keys)
				l.Judge(answered, later)
				holds(t, fmt.Sprintf("cut at %d, answered %d, later %d", cut, answered, later), l, keys,
					told(all[:want]))
			}
			f(0, 0, whole)
			f(0, testEvents+1, begun)
			if ends >= 3 { // the transaction is of one event
				f(testEvents, 0, begun)
			}
		}
	})
}

// What a crash leaves of the newest transaction costs nothing: it is dropped if nobody can have
// been told of it, whether its end is missing or a hole in it was never written.
func TestLogLast(t *testing.T) {
	both(t, func(t *testing.T, secret string, keyID uint64) {
		w, keys := testLog(secret, keyID), testKeys(secret)
		const number = testEvents + 1
		from := len(w.b)
		for i := range uint64(3) {
			value := append(make([]byte, 8), bytes.Repeat([]byte("x"), 1500)...)
			w.write(metaInTxn, 0, eventKey(testEvents+1+i), number, value)
		}
		open := len(w.b)
		w.writeEnd(number)
		f := func(what string, text []byte, answered, later uint64, want int, damaged bool) {
			t.Helper()
			l := openTestLog(t, file(text), keys)
			l.Judge(answered, later)
			if l.Transactions() != testEvents+want || l.Damaged() != damaged {
				t.Errorf("%s: %d transactions, damaged %v; want %d, %v", what, l.Transactions(),
					l.Damaged(), testEvents+want, damaged)
			}
		}
		f("its end is missing, and nobody was told", w.b[:open], testEvents, 0, 0, false)
		f("an event in it was answered", w.b[:open], testEvents+3, 0, 1, true)
		f("another log goes on after it", w.b[:open], testEvents, number+1, 1, true)
		f("another log has its number", w.b[:open], testEvents+3, number, 0, false)
		hole := bytes.Clone(w.b)
		clear(hole[from+400 : from+400+2*sectorBytes])
		f("a hole, and nobody was told", hole, testEvents, 0, 0, false)
		f("a hole, and somebody was told", hole, testEvents+3, 0, 1, true)
		f("a hole, and another log goes on", hole, testEvents, number+1, 1, true)
		f("an entry is cut off", w.b[:from+700], testEvents, 0, 0, false)
		for n := 1; n < len(w.b)-open; n++ {
			f("its end is cut off", w.b[:open+n], testEvents, 0, 0, false)
			gap := bytes.Clone(w.b)
			clear(gap[open : open+n])
			f("its end begins with a sector that was never written", gap, testEvents, 0, 0, false)
		}
		changed := bytes.Clone(w.b)
		changed[open+10] ^= 1
		f("its end was changed", changed, testEvents, 0, 1, true)
		f("its end was changed, and another log has its number", changed, testEvents, number, 0, false)
		f("its end was changed and cut off", changed[:open+20], testEvents, 0, 0, false)
	})
}

// What the engine would choke on after the last transaction goes.
func TestLogRotten(t *testing.T) {
	w := testLog("", 0)
	for _, end := range [][]byte{
		append([]byte{metaInTxn, 0}, bytes.Repeat([]byte{0xff}, 30)...), // an endless number
		{metaInTxn, 0, 12, 0xff, 0xff, 0xff, 0xff, 7, 0},                // gigabytes
	} {
		l := openTestLog(t, file(append(bytes.Clone(w.b), end...)), nil)
		l.Judge(testEvents, 0)
		if !l.Damaged() || !bytes.Equal(l.Text(), w.b) {
			t.Errorf("%x: damaged %v", end, l.Damaged())
		}
	}
}

// The head of a log in the clear says nothing. That of an encrypted one is told by the ends of
// transactions alone, whatever its records are: the number of its key is found again, and without
// the rest nothing is.
func TestLogHead(t *testing.T) {
	w := testLog("", 0)
	for at := range LogHeadBytes {
		b := file(w.b)
		b[at] ^= 0x21
		l := openTestLog(t, b, nil)
		l.Judge(0, 0)
		if l.Transactions() != testEvents || at < 8 && binary.BigEndian.Uint64(l.Text()) != 0 {
			t.Errorf("byte %d: %d transactions", at, l.Transactions())
		}
	}
	unknown := newLog(testSecret, 2)
	unknown.write(metaInTxn, 0, []byte("?"), 7, []byte("of a later version"))
	unfinished := bytes.Clone(unknown.b)
	unknown.writeEnd(7)
	for _, w := range []*wal{testLog(testSecret, 2), unknown} {
		for at := range LogHeadBytes {
			b := file(w.b)
			b[at] ^= 0x21
			l, err := OpenLog(b, testKeys(testSecret), testRecords())
			switch {
			case at >= 8 && !errors.Is(err, ErrKey):
				t.Errorf("byte %d: got %v; want ErrKey", at, err)
			case at < 8 && (err != nil || !l.Damaged() || binary.BigEndian.Uint64(l.Text()) != 2):
				t.Errorf("byte %d: %v", at, err)
			}
		}
		if _, err := OpenLog(file(w.b), Keys{}, testRecords()); !errors.Is(err, ErrKey) {
			t.Errorf("without any key: %v; want ErrKey", err)
		}
		if l := openTestLog(t, file(w.b), testKeys(testSecret)); l.Damaged() {
			t.Error("a sound log is damaged")
		}
	}
	// Nothing ends a transaction in it: it is the engine's, with the key that it names.
	if l := openTestLog(t, file(unfinished), testKeys(testSecret)); l.Damaged() {
		t.Error("a log of one entry is damaged")
	}
	for n := range LogHeadBytes {
		if l := openTestLog(t, unfinished[:n], testKeys(testSecret)); l.Damaged() || l.First() != 0 {
			t.Errorf("a log of %d bytes is damaged", n)
		}
	}
}

// pointer is where a value is in a value log, as the engine writes it.
func pointer(file, n, at uint32) []byte {
	b := binary.NativeEndian.AppendUint32(nil, file)
	return binary.NativeEndian.AppendUint32(binary.NativeEndian.AppendUint32(b, n), at)
}

// An entry that says where its value is is an entry like others: found again after damage, kept, and
// an event. The log tells how far it leads into each value log.
func TestLogPointers(t *testing.T) {
	both(t, func(t *testing.T, secret string, keyID uint64) {
		w, keys := newLog(secret, keyID), testKeys(secret)
		for seq := uint64(1); seq <= 5; seq++ {
			w.write(metaInTxn|metaPointer, 0, eventKey(seq), seq, pointer(uint32(1+seq/4), 100, uint32(20+seq)))
			w.writeEnd(seq)
		}
		w.write(metaPointer, 0, eventKey(1), 1, pointer(3, 7, 70)) // moved by the engine
		entries := places(w)
		all := openTestLog(t, file(w.b), keys).Entries()
		for i, e := range entries {
			b := file(w.b)
			b[e.at+e.head+3] ^= 1
			l := openTestLog(t, b, keys)
			l.Judge(5, 0)
			holds(t, fmt.Sprintf("entry %d", i), l, keys,
				told(slices.DeleteFunc(slices.Clone(all), func(x Entry) bool { return x.At == e.at })))
		}
		l := openTestLog(t, file(w.b), keys)
		l.Judge(0, 0)
		ends := l.ValueEnds()
		if len(ends) != 3 || ends[1] != 123 || ends[2] != 125 || ends[3] != 77 || l.NewestEvent() != 5 ||
			l.Newest() != 5 || l.First() != 1 || !l.Entries()[0].Pointer {
			t.Errorf("it leads to %v, up to event %d and transaction %d", ends, l.NewestEvent(), l.Newest())
		}
	})
}

// Bytes of a payload that look like entries, in the right transaction, are not looked at where the
// head of what holds them is whole.
func TestLogPayloadLikeEntries(t *testing.T) {
	inner := newLog("", 0)
	inner.event(2, 99, 0)
	inner.writeEnd(2)
	fake := inner.b[LogHeadBytes:]
	w := newLog("", 0)
	w.event(1, 1, 0)
	w.writeEnd(1)
	at := len(w.b)
	w.write(metaInTxn, 0, eventKey(2), 2, append(make([]byte, 8), bytes.Repeat(fake, 3)...))
	size := len(w.b) - at
	w.writeEnd(2)
	w.event(3, 3, 0)
	w.writeEnd(3)
	b := file(w.b)
	b[at+40] ^= 0x40
	l := openTestLog(t, b, nil)
	l.Judge(3, 0)
	if _, n := l.Lost(); n != size || l.NewestEvent() != 3 || len(l.Entries()) != 2 {
		t.Errorf("%d bytes lost, events up to %d in %q", n, l.NewestEvent(), told(l.Entries()))
	}
}

// Where reading can go on only for a while, before there is more damage, what is read is the next
// entries: not what holds no record, nor an entry alone, nor transactions that cannot be so far.
func TestLogNextEntry(t *testing.T) {
	const first = 50 // transaction
	noise := newLog("", 0)
	noise.write(metaInTxn, 0, []byte("?"), first, bytes.Repeat([]byte{9}, 2000))
	noise.writeEnd(first)
	event := newLog("", 0)
	event.event(first, 99, 0)
	other := func(from uint64) []byte {
		w := newLog("", 0)
		for txn := from; txn < from+9; txn++ {
			w.event(txn, txn, 0)
			w.writeEnd(txn)
		}
		return w.b[LogHeadBytes:]
	}
	for name, fake := range map[string][]byte{"noise": noise.b[LogHeadBytes:],
		"an event": event.b[LogHeadBytes:], "an older log": other(first - 20),
		"a newer log": other(first + 40)} {
		w := newLog("", 0)
		w.event(first-1, 1, 0)
		w.writeEnd(first - 1)
		broken := len(w.b)
		w.write(metaInTxn, 0, eventKey(2), first, append(make([]byte, 8), fake...))
		w.writeEnd(first)
		for seq := uint64(3); seq < 7; seq++ {
			w.event(first+seq, seq, 0)
			w.writeEnd(first + seq)
		}
		second := len(w.b)
		for seq := uint64(7); seq < 9; seq++ {
			w.event(first+seq, seq, 0)
			w.writeEnd(first + seq)
		}
		b := file(w.b)
		b[broken+2] ^= 0x40
		b[second+2] ^= 0x40
		l := openTestLog(t, b, nil)
		l.Judge(0, 0)
		var got []uint64
		for _, e := range l.Entries() {
			seq, _ := testRecords().Event(e.Key, e.Value)
			got = append(got, seq)
		}
		if !slices.Equal(got, []uint64{1, 3, 4, 5, 6, 8}) {
			t.Errorf("%s in the payload: events %d are left", name, got)
		}
	}
}
