package main

import (
	"math/bits"
	"sync/atomic"
	"time"
)

const (
	histSteps   = 32 // per power of two: 3 % wide
	histBuckets = 40 * histSteps
)

// histogram counts durations in buckets of 3 %. It is safe for concurrent use.
type histogram struct {
	Count   atomic.Uint64
	buckets [histBuckets]atomic.Uint32
}

func (h *histogram) add(d time.Duration) {
	h.Count.Add(1)
	h.buckets[bucketOf(max(d, 0))].Add(1)
}

func (h *histogram) reset() {
	h.Count.Store(0)
	for i := range h.buckets {
		h.buckets[i].Store(0)
	}
}

func bucketOf(d time.Duration) int {
	n := uint64(d)
	if n < histSteps {
		return int(n)
	}
	power := bits.Len64(n) - 6 // n >> power is in 32…63
	return min((power+1)*histSteps+int(n>>power)-histSteps, histBuckets-1)
}

func bucketFrom(i int) time.Duration {
	if i < histSteps {
		return time.Duration(i)
	}
	power := i/histSteps - 1
	return time.Duration(uint64(i%histSteps+histSteps) << power)
}

// quantile is the duration that the share q stayed below; 0 of nothing.
func (h *histogram) quantile(q float64) time.Duration {
	total := uint64(0)
	for i := range h.buckets {
		total += uint64(h.buckets[i].Load())
	}
	left := uint64(q * float64(total))
	for i := range h.buckets {
		n := uint64(h.buckets[i].Load())
		if n > left {
			return bucketFrom(i)
		}
		left -= n
	}
	return 0
}
