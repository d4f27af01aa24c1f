package mend

import (
	"bytes"
	"errors"
	"hash/crc32"
	"io"
)

// windowBytes are of a value log in memory at a time.
const windowBytes = 1 << 20

// window is the part of a file that is looked at. It is read and not mapped: where the disk cannot
// read a page of a map, the process dies.
type window struct {
	r    io.ReaderAt
	size int64
	from int64
	b    []byte
	err  error // of reading, the first one; then everything is taken for the end
}

// at are the bytes at a place: n of them, fewer at the file's end. They hold until the next call.
// More than windowBytes are never asked for.
func (w *window) at(place int64, n int) []byte {
	n = int(min(int64(n), w.size-place))
	if n <= 0 || w.err != nil {
		return nil
	}
	if place < w.from || place+int64(n) > w.from+int64(len(w.b)) {
		if w.b == nil {
			w.b = make([]byte, 0, min(windowBytes, w.size))
		}
		w.from, w.b = place, w.b[:min(int64(cap(w.b)), w.size-place)]
		got, err := w.r.ReadAt(w.b, place)
		w.b = w.b[:got]
		if err != nil && (!errors.Is(err, io.EOF) || got < n) {
			w.b, w.err = w.b[:0], err
			return nil
		}
	}
	return w.b[place-w.from:][:n]
}

// sum goes on with a checksum over what is between two places; begin has been summed already.
func (w *window) sum(begin []byte, from, to int64) uint32 {
	sum := crc32.Checksum(begin, castagnoli())
	for from < to && w.err == nil {
		b := w.at(from, int(min(to-from, windowBytes/4)))
		if len(b) == 0 {
			break
		}
		sum = crc32.Update(sum, castagnoli(), b)
		from += int64(len(b))
	}
	return sum
}

// used is where the zeros at the file's end begin.
func (w *window) used() int64 {
	for end := w.size; end > 0 && w.err == nil; {
		from := max(0, end-windowBytes)
		b := w.at(from, int(end-from))
		if b = TrimZeros(b); len(b) > 0 {
			return from + int64(len(b))
		}
		end = from
	}
	return 0
}

// next is the first place from one to another at which an entry of a value log can begin, judged
// by its first bytes; to: there is none.
func (w *window) next(from, to int64) int64 {
	for from < to && w.err == nil {
		b := w.at(from, int(min(to-from, windowBytes/4))+3)
		if len(b) < 4 {
			break
		}
		for i := 0; i < len(b)-3; i++ {
			skip := bytes.IndexByte(b[i:len(b)-3], 0)
			if skip < 0 {
				break
			}
			i += skip
			if (b[i+1] == 0 || b[i+1] == mendedMark) && b[i+2] > timeBytes {
				return from + int64(i)
			}
		}
		from += int64(len(b) - 3)
	}
	return to
}
