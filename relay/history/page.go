package history

import (
	"encoding/binary"
	"errors"
)

// stretchesMax bounds a page: the minutes of an hour.
const stretchesMax = 60

// stretch is one of a page: minute 7 of the hour, say.
type stretch struct {
	place int
	tally Tally
}

// page is what happened in the stretches of an hour or a day, in their order, without those in
// which nothing did.
type page []stretch

// add adds to a stretch.
func (p *page) add(place int, t *Tally) {
	i := 0
	for i < len(*p) && (*p)[i].place < place {
		i++
	}
	if i == len(*p) || (*p)[i].place != place {
		*p = append(*p, stretch{})
		copy((*p)[i+1:], (*p)[i:])
		(*p)[i] = stretch{place: place}
	}
	(*p)[i].tally.Merge(t)
}

// encode is its form in the spool.
func (p page) encode() []byte {
	var b []byte
	next := 0
	for i := range p {
		t := &p[i].tally
		b = binary.AppendUvarint(b, uint64(p[i].place-next))
		next = p[i].place + 1
		some := 0
		for _, n := range t {
			if n > 0 {
				some++
			}
		}
		b = binary.AppendUvarint(b, uint64(some))
		after := 0
		for c, n := range t {
			if n > 0 {
				b = binary.AppendUvarint(b, uint64(c-after))
				b = binary.AppendUvarint(b, uint64(n))
				after = c + 1
			}
		}
	}
	return b
}

// decode reads a page. A counter that is not known here is left out: a newer relay may have more.
func decode(b []byte) (p page, err error) {
	number := func() uint64 {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			b, err = nil, notPage()
			return 0
		}
		b = b[n:]
		return v
	}
	place := uint64(0)
	for len(b) > 0 {
		gap, some := number(), number()
		if err != nil || gap >= stretchesMax || place+gap >= stretchesMax || some > uint64(len(b)) {
			return nil, notPage()
		}
		place += gap
		p = append(p, stretch{place: int(place)})
		place++
		t := &p[len(p)-1].tally
		for c := uint64(0); some > 0; some, c = some-1, c+1 {
			gap, n := number(), number()
			if err != nil || gap > 1<<20 {
				return nil, notPage()
			}
			if c += gap; c < counters {
				t.Add(int(c), n)
			}
		}
	}
	return p, nil
}

func notPage() error { return errors.New("it is no page of a history") }
