package mend

import (
	"crypto/aes"
	"encoding/binary"
	"maps"
	"slices"
)

// sampleEntries are what a key of a value log is tried on.
const sampleEntries = 4

// unlock finds the key of a value log; see Log.unlock. Nothing in a value log is the same every
// time, so its entries must make sense as records: all that are tried. One byte of what the
// counter begins with is found again in the same way, because without it nothing in the file can
// be read.
func (v *valueReader) unlock() error {
	said := binary.BigEndian.Uint64(v.head[:])
	if v.o.Sums {
		return nil
	}
	if v.o.Keys == nil {
		v.Head = said != 0
		clear(v.head[:8])
		return nil
	}
	if v.used == 0 {
		return nil // not even a head was written to it
	}
	samples := v.samples()
	if v.use(said) && (len(samples) == 0 || v.opens(samples)) {
		return nil
	}
	v.Head = true
	ids := slices.Sorted(maps.Keys(v.o.Keys))
	for _, id := range ids {
		if v.use(id) && v.opens(samples) {
			binary.BigEndian.PutUint64(v.head[:], id)
			return nil
		}
	}
	if len(samples) == 0 && len(ids) > 0 { // nothing is in it
		last := ids[len(ids)-1]
		v.use(last)
		binary.BigEndian.PutUint64(v.head[:], last)
		return nil
	}
	if len(samples) > 0 && v.use(said) && v.findCounter(samples) {
		return nil
	}
	return ErrKey
}

// use takes a key; false if there is none of that number.
func (v *valueReader) use(id uint64) bool {
	secret := v.o.Keys[id]
	if len(secret) == 0 {
		return false
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		panic("BUG: a data key of the engine is no AES key: " + err.Error())
	}
	v.block = block
	return true
}

// findCounter puts one byte right of those that the counter begins with.
func (v *valueReader) findCounter(samples []ValueEntry) bool {
	for at := 8; at < LogHeadBytes; at++ {
		for flip := 1; flip < 256; flip++ {
			v.head[at] ^= byte(flip)
			if v.opens(samples) && v.isRecord(&samples[0]) {
				return true
			}
			v.head[at] ^= byte(flip)
		}
	}
	return false
}

// samples are some entries that fit their checksums, which are over what is on disk, whatever the
// key is. Their keys are as they are there.
func (v *valueReader) samples() (found []ValueEntry) {
	read := int64(0)
	for at := int64(LogHeadBytes); at < v.used && len(found) < sampleEntries && read < trialBytes; {
		e, ok := v.headAt(at)
		if ok {
			read += int64(e.size)
			ok = v.fits(at, int64(e.size), nil)
		}
		if !ok {
			at = v.far.next(at+1, v.used)
			continue
		}
		if e.userMeta == 0 {
			found = append(found, v.split(e, at))
		}
		at += int64(e.size)
	}
	return found
}

// opens reports whether the key makes sense of all samples. A transaction's number is below 2⁴⁸.
func (v *valueReader) opens(samples []ValueEntry) bool {
	for i := range samples {
		e, _ := v.headAt(samples[i].At)
		x := v.split(e, samples[i].At)
		if !v.ours(e, &x) || x.Txn >= 1<<48 {
			return false
		}
	}
	return len(samples) > 0
}

// isRecord reports whether an entry is a record by its own checksum.
func (v *valueReader) isRecord(x *ValueEntry) bool {
	e, ok := v.headAt(x.At)
	if !ok || e.size > windowBytes {
		return false
	}
	b := slices.Clone(v.near.at(x.At+int64(e.head), int(e.key+e.value)))
	v.counter(x.At).XORKeyStream(b, b)
	return v.o.Records.Check(b[:e.key-timeBytes], b[e.key:]) == nil
}
