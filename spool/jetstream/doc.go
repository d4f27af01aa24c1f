// Package jetstream is the engine that several relays share: a stream of NATS JetStream, kept by
// most of its nodes, and a replica of it beside each relay. What an engine promises is told in
// package engine.
//
// # The stream is the truth
//
// A transaction is one atomic batch of messages: all are stored, in one piece, or none is, and the
// answer comes when most of the nodes have them on disk. There is one stream, because a batch goes
// to one:
//
//	NAME.e         the events of one group, a frame (record.SplitFrame), in pieces where it is large
//	NAME.d         events that were deleted
//	NAME.k.<key>   a record; a newer one takes the place of the older
//	NAME.i         many records that only expire, such as ids
//	NAME.f.<lane>  who has a lane, since when
//	NAME.r.<relay> that a relay lives
//	NAME.w.<relay> which batch of a relay was the last
//	NAME.h         the head, which says nothing
//	NAME.c         by which a wrong key is known; the first message
//
// A batch with events or with records that no lane has replaces the head and says which one it has
// seen. So such batches of all relays are in one order, and each was planned on all before it:
// sequences, ids and conversations need nothing else. A batch that touches a lane says whose tenure
// of the lane it has seen, which is the fence: the batch of a relay that has lost the lane unheard
// is refused as a whole.
//
// A batch takes whatever one append may hold: 1,000 messages are enough for that, because events
// are frames, and ids and most of many states are packed. A pack expires with its records, so they
// have one time to live, and none of them outlives a newer record of its key (pack.go). One message
// costs the servers some 400 bytes of memory, whatever is in it.
//
// With a key a relay encrypts events and records before it gives them away, and what subjects say
// of records (seal.go). All relays need the same one: the first message of the stream tells a wrong
// key, and one where there is none.
//
// # The replica is for reading
//
// A relay follows the stream and applies batch after batch to an embedded engine of its own, which
// nothing syncs: a look, a walk, a search, what a lane still has to read, all are local. A commit
// returns once its batch is applied. The replica is made again at each start.
//
// # What relays tell each other
//
// A relay lives while it gives signs of life, which are messages of the stream as well. What can be
// lost goes beside it, on subjects that servers only pass on, and that a user of theirs must be
// allowed to publish and to subscribe, beside NAME.>, $JS.> and _INBOX.>:
//
//	_HOOKSPOOL.NAME.ask.<relay>  a question to a relay
//	_HOOKSPOOL.NAME.turn         a relay was second with a batch, and wants to be next
//
// # What is not whole
//
// A node that lost its power while it caught up may say that it is current while its copy has a
// hole, or keeps messages under other sequences than the other nodes (spool/DESIGN.md); a relay may
// be given that copy to read, and that node may lead. So a relay refuses (ErrHole)
//
//   - a frame whose first event is not the one after the newest, unless the record of the sweep
//     says that all in between was swept: only that is ever taken out of the stream,
//   - a frame with an event that was there before,
//   - a frame that lacks one of its pieces, which are the first messages of their batch,
//   - at a start a stream that ends before an event which the record of the sweep has seen.
//
// Nothing of the batch is applied then. A start reads the whole stream again, as often as makes it
// likely that the servers have given it each of their copies, and fails. A relay that runs goes on
// asking for another copy, from where it was; until then it is Away, and nothing is acknowledged.
//
// What cannot be seen: records without events that are missing, because those that were replaced or
// have expired are not there either, and tell as little; events that the sweep has passed and left
// for a delivery that failed; and at a start the newest events, if nothing was written after them
// that tells of them. The high-water mark of package spool, which is a relay's own, tells of those
// that it has seen.
//
// So that it does not come to that, the relay that leads compares what the nodes have, tells the
// others with its signs of life, and keeps a node that lacks messages from leading: see package
// copies.
//
// # When nobody answers
//
// A batch without an answer may be stored, or on its way. Every batch replaces what its relay has
// written last: whoever replaces it with the same expectation as the batch has shut the batch out
// for good, and if that is refused, the stream is read as far as that which was first. So a commit
// ends with a verdict, however long that takes; until then it waits.
package jetstream
