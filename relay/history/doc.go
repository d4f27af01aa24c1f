// Package history is what happened in every minute of the last day and every hour of the last
// month, of each target and of the relay: how many deliveries were accepted, how many attempts
// succeeded, how many failed with which outcome, and how long they took.
//
// # Counting
//
// A Tally is one stretch of time in 152 counters of 4 bytes: accepted, delivered, refused,
// unmatched, 16 outcomes, and 120 steps of how long attempts took, of which four double. A step is
// told by its middle, which is off by 12 % at most. A Counter has one for the minute under way. An
// attempt is a lock of its target's, two additions and no allocation. What is accepted is counted
// by the spool, which holds its lane's lock then, and by a Ring, which has no lock: accepting costs
// an addition.
//
// # Keeping
//
// Once a minute a Keeper adds the minutes that have ended to what the spool has of them: to the
// page of the hour, which holds up to 60 minutes, and to the page of the day, which holds up to 24
// hours. Both are written in one commit, with those of as many targets as fit. Where nothing
// happened nothing is written. Pages are added to and not replaced, so that a relay which starts in
// the middle of a minute goes on with it, and a start reads nothing. SIGKILL loses the minute under
// way. Where the spool takes nothing the minutes wait, an hour of them. Pages expire: those of
// hours after 25 hours, those of days after 31 days.
//
// A page is, for each stretch in it:
//
//	uvarint  how many stretches after the one before
//	uvarint  number of counters that are not 0
//	for each uvarint how many counters after the one before, uvarint its value
//
// # What it costs
//
// A target that is busy all day, with 6,000 deliveries a minute that take any time and fail in two
// ways, takes 90 bytes a minute and 100 bytes an hour: 125 KiB for the day and 70 KiB for the
// month, in 57 records; in memory 1 KiB. One with little to do takes a tenth of that, one to which
// nothing happens nothing.
//
// # Several relays
//
// Each relay keeps under its own name what it has counted, of targets and of itself, and whoever
// asks gets the sum. So what was counted of a target that is another relay's by now is kept all the
// same: a relay that gives a target away begins to write its minutes at once. What another relay
// has not kept is a Part, which it is asked for, with its newest pages, because they may not have
// come here yet. SIGKILL loses the minute under way of what that relay counted.
package history
