package sieve

import (
	"math"
	"strconv"
)

// exactMax is below what is an integer of its own as a float64.
const exactMax = 1<<53 - 1

// sameNumber compares a number of a payload with one that somebody wrote: by its digits, or by its
// value where that is exact, so that 100 finds 100.0 and 1e2.
func sameNumber(number, text string) bool {
	if number == text {
		return true
	}
	if text == "" || text[0] != '-' && (text[0] < '0' || text[0] > '9') {
		return false // what strconv takes besides: inf, nan, a plus
	}
	a, aerr := strconv.ParseFloat(number, 64)
	b, berr := strconv.ParseFloat(text, 64)
	return aerr == nil && berr == nil && a == b && math.Abs(a) <= exactMax
}
