package jetstream

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/hookspool/hookspool/spool/record"
)

// statesMax is how many records of small state a batch has as messages of their own, each in the
// place of the one before it: that takes the least room. More of them are packed.
const statesMax = 200

// packs gathers records that only expire: those of one kind that expire together are one message,
// which expires with them. A message of its own costs the servers some
// 400 bytes of memory for as long as it is there.
//
// What is packed stays when its records are written again, and so does a record whose newer one is
// packed. So that none of them comes back at the next start, none may outlive the newer one: see
// lifeOf.
type packs struct {
	// packed is how long a packed record of a kind was to live at most; known: there is a record.
	packed func(kind byte) time.Duration
	known  func(key []byte) bool
	states int
	items  []item
}

// item is a record in a pack.
type item struct {
	key, value []byte
	seconds    int // that it has to live
}

// expires reports whether records of a kind are written with a time to live, and never deleted
// before.
func expires(kind byte) bool { return kind == record.PrefixID || kind == record.PrefixState }

// lifeOf is how long a record has to live. A pack may hold an older one that was to live for
// longer: the newer one then lives as long as any in a pack.
func (p *packs) lifeOf(key []byte, w put) time.Duration {
	if !expires(key[0]) {
		if w.gone {
			return goneTTL
		}
		return w.ttl
	}
	most := p.packed(key[0])
	switch {
	case w.gone:
		return max(most, goneTTL)
	case w.ttl > 0 && w.ttl < most && p.known(key):
		return most
	}
	return w.ttl
}

// admit takes a record, if it is to be packed.
func (p *packs) admit(key, value []byte, life time.Duration) bool {
	switch {
	case life <= 0:
		return false
	case key[0] == record.PrefixState:
		if p.states++; p.states <= statesMax {
			return false
		}
	case key[0] != record.PrefixID:
		return false
	}
	p.items = append(p.items, item{key, value, seconds(life)})
	return true
}

// seconds is a time to live as servers count it: a second at least.
func seconds(life time.Duration) int { return int(max(life, time.Second).Seconds()) }

func writeLife(m *nats.Msg, seconds int) {
	m.Header[ttlHeader] = []string{strconv.Itoa(seconds) + "s"}
}

// addTo adds the packs to a batch, in messages of so many bytes at most.
func (p *packs) addTo(b *batch, most int) {
	slices.SortFunc(p.items, func(x, y item) int {
		return cmp.Or(cmp.Compare(x.key[0], y.key[0]), cmp.Compare(x.seconds, y.seconds))
	})
	for rest := p.items; len(rest) > 0; {
		first, data := rest[0], []byte(nil)
		for len(rest) > 0 && rest[0].key[0] == first.key[0] && rest[0].seconds == first.seconds {
			if len(data) > 0 && len(data)+rest[0].room() > most {
				break
			}
			data, rest = rest[0].encode(data), rest[1:]
		}
		writeLife(b.add(packSubject, data, false), first.seconds)
	}
}

func (i *item) room() int { return len(i.key) + len(i.value) + 2*binary.MaxVarintLen32 }

func (i *item) encode(b []byte) []byte {
	b = append(binary.AppendUvarint(b, uint64(len(i.key))), i.key...)
	return append(binary.AppendUvarint(b, uint64(len(i.value))), i.value...)
}

// unpack reads the records of a pack: they are as old as it is.
func unpack(c change) (all []change, err error) {
	for rest := c.value; len(rest) > 0; {
		one := change{kind: keySubject, ttl: c.ttl, gone: c.gone}
		if one.key, rest, err = cutSized(rest); err == nil {
			one.value, rest, err = cutSized(rest)
		}
		if err != nil || len(one.key) == 0 {
			return nil, errForeign
		}
		all = append(all, one)
	}
	if len(all) == 0 {
		return nil, errForeign
	}
	return all, nil
}

func cutSized(b []byte) (first, rest []byte, err error) {
	n, k := binary.Uvarint(b)
	if k <= 0 || n > uint64(len(b)-k) {
		return nil, nil, errForeign
	}
	return b[k : k+int(n)], b[k+int(n):], nil
}
