// Package record is what a spool has on disk, record by record: the prefix and the parts of a key,
// its value, with encoder and decoder, what it is for, and how those who go through a whole spool
// treat it. It is the only such list: whoever needs it (verify, repair, salvage, recount, stat, the
// fixtures of the tests) reads [Kinds], so that a record cannot be known in one place and unknown
// in another. It knows nothing of the engine that stores the records.
//
// # Keys
//
//	e seq                 event record (event.go draws it), written at acceptance
//	i id                  an id the app gave: instant, sequence, payload hash, lanes; with the event;
//	                      expires an hour after the dedupe window, and is written again while the
//	                      event is kept
//	l lane                lane record: position, what is settled above it, sums, newest receipts
//	x lane seq            exception: due tick, requests made, first failure, last outcome; in the
//	                      commit that lets the position pass
//	y lane order seq      an exception that has an order, by that; with the exception
//	z lane seq            exhausted or expired delivery, same fields; swept after
//	                      KeepExhausted
//	p lane seq            instant: a delivery that was purged; goes with the event
//	g lane                standing: failed jobs in a row, defective since, held, shut until, gone
//	                      since; with the last outcome of the job that changed it
//	o lane episode way    a notice that is owed to the operator; with the standing. No way: 0. Lane 0
//	                      is the spool itself.
//	k lane                memo: what the caller noted of a lane (what was warned of), or of lane 0
//	s key                 small keyed state of the caller (sessions), expires; with the event
//	n lane                target name; once. Empty: the target was forgotten; see spool/forget.go
//	h lane seq slot       one attempt: when, outcome, status, duration, beginning of the answer, and
//	                      of the first and the last failure the heads of both; with its exception;
//	                      the one that succeeded goes with the event; see
//	                      spool/history.go
//	r lane                the lane's last attempts, at most every 5 s
//	v lane seq            receipts of deliveries that succeeded at once, up to a sequence: instant,
//	                      status, duration; with the lane record, which has the newest; go with the
//	                      events
//	t lane slot hour by   what the caller counted in the minutes of an hour (slot 0) or the hours of
//	                      a day (1), of a lane or of the spool itself by relay; expires
//	j instant run         what an operator did, in the caller's form; when that was carried out;
//	                      expires after 90 days; see spool/notice.go
//	q seq                 the bytes of a record that could not be read
//	w instant seq         an event the sweep passed while a delivery needed it, since released
//	m name                format, tick, checkpoint, how far ids are remembered again, when the clock
//	                      was noticed to have gone back
//	0xff                  written and dropped at once, to flush a memtable
//
// Every small value is u8 version, u32 CRC-32C, varint fields. Lanes are numbered from 1 in the
// order of their making; a name keeps its number until it is forgotten, and a number is never given
// again.
package record
