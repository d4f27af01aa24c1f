// Package moment reads instants as people write them. The command line, the admin API and the
// console's search take the same forms; what has no zone is in that of the clock that is given.
package moment

import (
	"errors"
	"time"

	"github.com/hookspool/hookspool/relay/config"
)

// Forms are what there is, for a hint.
const Forms = "write 24h or 7d for that long ago, 22:00 for the last time it was that, " +
	"2006-01-02 22:00, or 2006-01-02T22:00:00Z"

// errNone: a text is no instant.
var errNone = errors.New("it is no instant")

// dated are the forms with a date and no zone; clocks are those of a time of day.
func dated() []string {
	return []string{"2006-01-02 15:04", "2006-01-02 15:04:05", "2006-01-02T15:04",
		"2006-01-02T15:04:05", time.DateOnly}
}

func clocks() []string { return []string{"15:04", "15:04:05"} }

// Read is the instant that a text means:
//
//	24h, 90m, 7d            that long ago
//	22:00, 22:00:30         the last time it was that, today or yesterday
//	2026-11-27 22:00        as it says, with seconds if wanted; a date alone is its midnight
//	2026-11-27T22:00:00Z    RFC 3339
//
// What has no zone is in that of now.
func Read(text string, now time.Time) (time.Time, error) {
	if ago, ok := config.ParseDuration(text); ok && ago >= 0 {
		return now.Add(-ago), nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	for _, form := range dated() {
		if at, err := time.ParseInLocation(form, text, now.Location()); err == nil {
			return at, nil
		}
	}
	if at, ok := last(text, now); ok {
		return at, nil
	}
	return time.Time{}, errNone
}

// last is the last time that it was a time of day.
func last(text string, now time.Time) (time.Time, bool) {
	for _, form := range clocks() {
		of, err := time.Parse(form, text)
		if err != nil {
			continue
		}
		at := onDay(now, of, 0)
		if at.After(now) {
			at = onDay(now, of, -1)
		}
		return at, true
	}
	return time.Time{}, false
}

// onDay is a time of day so many days after an instant's. A clock that is put forward leaves out an
// hour, which time.Date moves by itself.
func onDay(day, of time.Time, days int) time.Time {
	return time.Date(day.Year(), day.Month(), day.Day()+days, of.Hour(), of.Minute(), of.Second(), 0,
		day.Location())
}

// Window reads both ends of a span; an empty text leaves its end open, and so a zero time. Where
// until is a time of day that would come before since, it is the next one after since: from 22:00
// until 06:00 means one night, whatever time it is now. The error tells which text it is about.
func Window(since, until string, now time.Time) (from, to time.Time, err error) {
	if since != "" {
		if from, err = Read(since, now); err != nil {
			return from, to, &Error{"since", since}
		}
	}
	if until == "" {
		return from, to, nil
	}
	if to, err = Read(until, now); err != nil {
		return from, to, &Error{"until", until}
	}
	if _, isClock := last(until, now); isClock && to.Before(from) {
		for to.Before(from) {
			to = onDay(to, to, 1)
		}
	}
	return from, to, nil
}

// Error is what Window could not read.
type Error struct {
	What string // since or until
	Text string
}

func (e *Error) Error() string { return e.What + " is " + e.Text + ", which is no instant" }
