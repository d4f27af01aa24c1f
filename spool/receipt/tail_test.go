package receipt

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// stored are the pieces of a lane, as whoever looks for one finds them.
type stored map[uint64]Piece

func (s stored) put(t *testing.T, pieces []Piece) {
	t.Helper()
	for _, p := range pieces {
		if len(p.List) == 0 || len(p.List) > pieceMax {
			t.Fatalf("a piece has %d receipts", len(p.List))
		}
		if _, twice := s[p.Last()]; twice {
			t.Fatalf("there are two pieces up to %d", p.Last())
		}
		s[p.Last()] = Piece{p.Apart, slices.Clone(p.List)}
	}
}

// find looks for a receipt as the package says, and counts the pieces it has looked at.
func (s stored) find(seq uint64) (r Receipt, ok bool, looked int) {
	var keys []uint64
	for last := range s {
		if last >= seq {
			keys = append(keys, last)
		}
	}
	slices.Sort(keys)
	for _, last := range keys {
		p := s[last]
		looked++
		if i := below(p.List, seq); i < len(p.List) && p.List[i].Seq == seq {
			return p.List[i], true, looked
		}
		if !p.Apart {
			break
		}
	}
	return r, false, looked
}

// Whatever order deliveries succeed in, each has exactly one receipt, stored or in the tail, and it
// is found. Some take very long, and what is written again stays small all the same.
func TestTail(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 1))
		tail, disk := Tailed(nil, seed%2 == 1), make(stored)
		var window, done []uint64 // in flight, ascending; delivered
		stuck := map[uint64]bool{}
		next, restMax := uint64(1), 0
		for range 6000 {
			if len(window) < 200 && len(window) < 1+int(seed)*7 {
				next += 1 + r.Uint64N(3)
				window = append(window, next)
				stuck[next] = r.IntN(1500) == 0
			}
			if i := r.IntN(len(window)); !stuck[window[i]] || r.IntN(2000) == 0 {
				tail.Add(Of(window[i], time.UnixMilli(int64(window[i])), 0, 200))
				done = append(done, window[i])
				window = slices.Delete(window, i, i+1)
			}
			if r.IntN(40) > 0 {
				continue
			}
			position, under := next, slices.Clone(window)
			if len(window) > 0 {
				position = window[0] - 1
			}
			pieces, rest := tail.Cut(position, append(under, next+1))
			disk.put(t, pieces)
			if !slices.IsSortedFunc(rest, func(a, b Receipt) int { return int(a.Seq) - int(b.Seq) }) {
				t.Fatal("what stays is not in order")
			}
			restMax = max(restMax, len(rest))
			if r.IntN(3) == 0 && len(window) > 1 { // one succeeds before it is stored
				tail.Add(Of(window[1], time.UnixMilli(int64(window[1])), 0, 200))
				done, window = append(done, window[1]), slices.Delete(window, 1, 2)
			}
			tail.Stored()
		}
		inTail := make(map[uint64]bool)
		for _, r := range tail.All() {
			inTail[r.Seq] = true
		}
		for _, seq := range done {
			got, ok, looked := disk.find(seq)
			if ok == inTail[seq] || ok && got.Milliseconds != int64(seq) {
				t.Fatalf("seed %d: of %d there is %+v, %v; in the tail: %v", seed, seq, got, ok, inTail[seq])
			}
			if looked > 40 {
				t.Errorf("seed %d: to find %d, %d pieces were looked at", seed, seq, looked)
			}
		}
		if restMax > 2500 {
			t.Errorf("seed %d: %d receipts were to be written again", seed, restMax)
		}
	}
}

// While a cut is being stored nothing more is cut, and nothing that comes is lost.
func TestTailCutTwice(t *testing.T) {
	t.Parallel()
	tail := Tailed(nil, false)
	for seq := range uint64(200) {
		tail.Add(Of(200-seq, time.UnixMilli(1), 0, 200))
	}
	pieces, rest := tail.Cut(150, nil)
	if len(pieces) != 1 || len(pieces[0].List) != 150 || len(rest) != 50 || rest[0].Seq != 151 {
		t.Fatalf("there are %d pieces, and %d receipts stay", len(pieces), len(rest))
	}
	tail.Add(Of(201, time.UnixMilli(1), 0, 200))
	if pieces, rest := tail.Cut(201, nil); len(pieces) != 0 || len(rest) != 51 {
		t.Errorf("there are %d pieces more, and %d receipts stay", len(pieces), len(rest))
	}
	tail.Stored()
	if n := len(tail.All()); n != 51 {
		t.Errorf("the tail has %d receipts", n)
	}
}

// A tail that cannot be stored is bounded, and one that was large gives its memory back.
func TestTailIsBounded(t *testing.T) {
	t.Parallel()
	tail := Tailed(nil, false)
	for seq := range uint64(2 * heldMax) {
		tail.Add(Of(1+seq, time.UnixMilli(1), 0, 200))
	}
	if n := len(tail.All()); n != heldMax {
		t.Errorf("it holds %d", n)
	}
	tail.Cut(2*heldMax, nil)
	if tail.Stored(); cap(tail.list) > idleMax {
		t.Errorf("it keeps room for %d", cap(tail.list))
	}
}

// What a lane writes because of receipts stays below 0.05 bytes for each of a payload of 1 KiB,
// however seldom it delivers: what is written again with its record, and the records of their own.
func TestTailCost(t *testing.T) {
	t.Parallel()
	const (
		events = 10_000
		// A head is what a record has beside its receipts: key, version, checksum, entry of the log; or
		// a message's subject and headers.
		recordHead, messageHead = 40, 160
		bytesMax                = 0.05 * 1024
	)
	f := func(dear bool, each int, gap time.Duration, most float64) {
		t.Helper()
		head := recordHead
		if dear {
			head = messageHead
		}
		tail, bytes, at := Tailed(nil, dear), 0, time.UnixMilli(1_700_000_000_000)
		for seq := uint64(1); seq <= events; seq++ {
			at = at.Add(gap)
			tail.Add(Of(1_000_000+seq, at, time.Duration(seq%40)*time.Millisecond, 200))
			if seq%uint64(each) > 0 {
				continue
			}
			pieces, rest := tail.Cut(1_000_000+seq, nil)
			for _, p := range pieces {
				bytes += head + len(Append(nil, p.List))
			}
			bytes += len(Append(nil, rest))
			tail.Stored()
		}
		if dear {
			most *= 1.15 // the head of a message is the larger part of it
		}
		if cost := float64(bytes) / events; cost > most {
			t.Errorf("dear %v, %d a checkpoint, %s: %.1f bytes a delivery, more than %.1f", dear, each,
				gap, cost, most)
		}
	}
	for _, dear := range []bool{false, true} {
		for _, gap := range []time.Duration{50 * time.Millisecond, 200 * time.Millisecond, time.Second,
			time.Minute} {
			f(dear, 1, gap, bytesMax)
		}
		f(dear, 5, 10*time.Millisecond, bytesMax)
		f(dear, 50, time.Millisecond, bytesMax)
	}
}
