package mend

import "io"

// headsBytes are in memory while heads are read: more than a head and a key.
const headsBytes = 2 << 10

// ReadHeads visits the entries of a value log from head to head and reads nothing else of them. end
// is where it came to: the file's end, or what is no head.
func ReadHeads(r io.ReaderAt, size int64, o ValueOptions, visit func(*ValueEntry)) (end int64,
	err error) {
	v := &valueReader{Values: Values{Size: size}, o: o, near: window{r: r, size: size},
		far: window{r: r, size: size}, budget: readBudget}
	if size < LogHeadBytes {
		return size, nil
	}
	copy(v.head[:], v.near.at(0, LogHeadBytes))
	v.used = v.near.used()
	if err := v.unlock(); err != nil {
		return 0, err
	}
	if v.near.err == nil {
		v.near = window{r: r, size: size, b: make([]byte, 0, headsBytes)}
	}
	end = LogHeadBytes
	for end < v.used && v.near.err == nil {
		e, ok := v.headAt(end)
		if !ok {
			break
		}
		x := v.split(e, end)
		visit(&x)
		end += x.Bytes
	}
	return end, v.near.err
}
