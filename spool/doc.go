// Package spool is the durable store of a relay: one log of events, a position per target,
// exceptions for failures.
//
// # Shape
//
// An event is written once, into a log ordered by sequence number, whatever the number of targets.
// Each target has a lane with a position: everything at or below it is settled or has become an
// exception. A delivery that succeeds on its way through the log costs no write of its own; the
// position moves. Only a failure costs a record. It is the model of a replicated log with consumers
// (an ack floor and redeliveries), so that a later engine on such a log fits the same face.
// DESIGN.md has what else was tried, here and below, and what it showed.
//
// What succeeded so leaves a receipt all the same: when, with which status, how long it took. The
// lane's record carries the newest ones, because it is written anyway and in the same transaction
// as the position that passes them; from time to time they become a record of their own, some 4
// bytes a delivery (package receipt). They go once their events have gone (package remains).
//
// From its commit until it is handed out an event waits in memory, once for all lanes (way.go).
// What does not fit, or is more than a lane's share, is read from the log; a lane that stands still
// sends only itself there.
//
// # Records
//
// What is on disk is the log, under the sequences of its events, and small records beside it: lane
// records, exceptions, standings, ids, and so on. Package record has the one table of them.
//
// # Engines
//
// What the spool stands on is an engine: an ordered log and small keyed records, written together.
// Package engine draws the line and says what an engine promises: a transaction is all or nothing,
// there is one writer, a look is of one instant, a lane is one relay's at a time. Lanes, sums,
// ticks and sweeps lie above that line and are the same for every engine. There are three: Badger
// in the spool's directory (package spool/badger), with the care for its files and its room on the
// disk that the sections below tell of; a stream of NATS JetStream (package spool/jetstream), which
// several relays share; and one in memory, for tests only (package spool/spooltest). All pass the
// suite of that package, which compares a whole ledger with the spool after every step, over
// crashes between any two commits; an engine with any one promise broken fails it.
//
// # Several relays
//
// Where an engine is shared (engine.Shared), every relay accepts, and has a replica of everything.
// Its committer hears what others have written before it plans what depends on that: sequences,
// ids, small state, names, ticks, replays, removals. If another relay was first all the same, the
// engine refuses the whole group, and that part is planned again; outcomes, which change memory as
// they are planned and are guarded by the tenures of their lanes, are kept (shared.go). Events of
// others are fed to this relay's lanes like its own.
//
// A lane is served by who has its tenure (crew.go). Each relay sees whose every lane is and who
// lives: it takes lanes that nobody has up to its share, and gives one away if another has less.
// Whoever takes a lane reads its record and counts the log after it, as a start does; so each
// record says up to where it counts, there is no checkpoint for all, and idle lanes write theirs
// now and then. What was in flight at the former owner is attempted again at most. Lane 0 is the
// spool itself: who has it beats the ticks and sweeps. A removal and a replay each write the
// checkpoint, so that one of them sees the other.
//
// # Looks
//
// Where events and deliveries are is told by package look, page by page. It stands below this
// package, reads through the engine, and asks a Spool only for what memory alone knows (read.go).
//
// # Care
//
// To verify, count, export, back up, import and restore a spool is package care, which stands below
// this one: a Spool gives it a look at one instant (Reading), and appends what it brings (Take).
// Small files have packages of their own: highwater, volume.
//
// # Commits
//
// One goroutine, the committer, writes. It takes whatever waited while the last group synced, up to
// 1.5 MB or, with little memory, half of that, makes one Badger transaction of it (SyncWrites: one
// msync), and only then answers. One group is in flight at a time, so a group that was not answered
// is the newest thing on disk. A lone caller waits for nobody. Badger's own batching of one
// transaction an event would be worth nothing, because it syncs each.
//
// An outcome that needs a write may wait up to 5 ms for a group to ride with: a target that refuses
// everything would otherwise cost a sync for every event.
//
// A batch larger than a transaction goes into several. Each record names the batch's last sequence,
// and the last record is written last; a start that finds the newest record short of that sequence
// removes the batch, newest record first, so that a crash on the way leaves the same kind of log.
// Small state of such a batch may be ahead of it; it says who wrote when, and the batch comes
// again.
//
// After one failed commit nothing is acknowledged any more in this process (ErrFailed): the state
// on disk is unknown and a later success proves nothing. The next start reads the truth. The same
// holds when the engine could not write its list of tables (badger/aside.go).
//
// # Checkpoints
//
// At most 50 ms after a lane moved, its record is written, together with the head of the log up to
// which all sums hold. A start reads the lane records and then the log from that head on, so it
// costs O(lanes) and the events of the last moments, whatever is pending.
//
// # What a crash leaves
//
//	before the group's sync returned   nothing of the group, or all of it; nobody was told. The
//	                                   sender sends again; an id it gave makes that safe.
//	after the sync, before the answer  the events; the sender's repeat is a duplicate by its id
//	after an attempt succeeded, before the checkpoint
//	                                   the delivery is attempted again: at-least-once. At most what
//	                                   was in flight and what succeeded in the last 50 ms.
//	after an attempt failed, before its exception was synced
//	                                   the attempt is repeated with the same number. That is a sync
//	                                   and at most 5 ms.
//	during a job                       what was settled is; the job is not counted; the rest is due
//	                                   at the next tick. The last outcome of a job and its verdict
//	                                   are one commit.
//	during a sweep                     some of the events are gone, all of them nobody needed
//
// # Space
//
// The events of a group lie together in one value of the engine, a frame (record.SplitFrame), in
// its value log (badger/values.go), where they are written once, whatever is kept; its files go
// whole. A group of less than 4 KiB lies in the tree instead, event by event, because that is one
// sync and not two. What stays there for long is packed into frames (badger/pack.go), so that the
// tree, which writes again what it keeps, stays small.
//
// An event goes KeepDelivered after its last delivery was settled, at once when space is short. The
// sweep deletes whole frames (portion.go). Where a failed delivery holds an event in one, the rest
// goes and what is held is written again, in small removals. Deleting writes tombstones, and Badger
// has no reason to compact a tree that nobody writes to any more, so after a large sweep the keeper
// flattens and flushes it, and has the files removed of which little is alive (badger/reclaim.go).
//
// Beyond MaxBytes, or with less than MinFreeBytes or four memtables and a compaction free, Admit
// refuses; what settling and retrying write fits into that reserve. Tables that an interrupted
// compaction has left are removed when a start lacks room.
//
// Others may take the reserve as well. Badger maps sparse files, and a store into a hole of a full
// disk is a SIGBUS that nothing can catch, so the committer sees to it that there are none
// (badger/room.go): it allocates blocks before it stores into them, up to 20 MiB ahead in the log
// and 5 in the value log, and a commit that may find the memtable full, so that a table is written
// and perhaps compacted, begins only when the disk has room for that. Otherwise the gate closes
// (gate.go): nothing is written, so nothing has failed. Appends, sweeps and an operator's orders
// are refused with ErrFull; outcomes, ticks, standings and checkpoints wait, 4,096 in the committer
// and the others with their callers. Fresh deliveries that succeed need no write and go on. When
// there is room the gate opens and all is written in order. With less than 48 MiB free appends are
// refused before that, so that the rest of the log, at most 16 MiB or 60,000 outcomes, is for
// settling.
//
// A disk without inodes, a process without descriptors and a quota are a full disk as well
// (badger/room.go): events are refused with few inodes left, and a commit that may begin another
// log waits until a file can be made, for Badger does not survive it otherwise. What will not come
// back, such as a file system that has become read-only, stops the spool before the commit.
//
// A ballast of 32 MiB (volume/ballast.go) is thrown off before the gate closes, which is good for
// one memtable more, or by a start that finds less than 64 MiB. It is made again when twice of what
// must stay is free beside it; there is none where MaxBytes is below 512 MiB. Neither it nor what
// the log has ahead counts against MaxBytes.
//
// A spool that is closed on a full disk leaves the engine as a kill would; what waited is attempted
// again after the next start.
//
// # What damage costs
//
// Badger ends the replay of its log at the first entry that it cannot read, and deletes the tables
// that its manifest does not name, both in silence. So a start looks at its files first (precheck)
// and repairs them, as package mend decides; the original of whatever it changes stays in aside/,
// and the log says so. A repair writes beside the file, syncs and renames, or writes into a value
// log after its original was kept; cut off anywhere, it is done again, and the half of a copy goes.
//
//	an entry of a log, one bit of it or all
//	                                   the entry. What lies before and after it is replayed, with
//	                                   the ends of transactions made again (mend.Log). An event that
//	                                   was in it is set aside as missing; events that it led to in a
//	                                   value log are found again there. An entry that ends a
//	                                   transaction: nothing
//	a log that is cut off              what was after the cut, if anybody was told of it; set
//	                                   aside, up to the high-water mark, but for what lies whole in
//	                                   the newest value log. The last transaction is dropped unless
//	                                   it must have been whole; see mend.Log
//	the manifest: one bit of it, cut off, gone
//	                                   nothing, as long as the tables are there: what it does not
//	                                   name any more is listed on level 0
//	a table's index or last block      the table; what was in it and is known to be missing is set
//	                                   aside
//	a block of a table                 the records in it; one that says nothing of its events hides
//	                                   those that it holds
//	a log that is gone or empty, a table that is listed and gone
//	                                   refused (ErrLoss): it may be elsewhere
//	the name of a target               refused (ErrLoss): nobody would miss its deliveries
//	a tick, a standing, a lane's record, the checkpoint
//	                                   what it said: it is counted again, or begins again (loadmend)
//	the head of a log                  in the clear, or the number of its key: nothing. The rest of
//	                                   it, in an encrypted log: refused (ErrLoss), because the engine
//	                                   would read nothing of the log. Told to go on, a start sets the
//	                                   log aside and what is missing
//	an entry of a value log            the records in it that the bytes were in. Its head is put
//	                                   right if its checksum says what it was, and covered
//	                                   otherwise, in its place: the tables say where values are
//	                                   (mend.Values). In an older value log than the newest, all of
//	                                   its records, until it is mended
//	the end of the newest value log    nothing, if nobody was told of what was there; else as above
//	a value log that is gone or empty  refused (ErrLoss) if the logs lead into it: it may be
//	                                   elsewhere. Else what was in it, set aside
//	the head of a value log            nothing. More than a byte of what its key's counter begins
//	                                   with: refused (ErrLoss), or the file set aside if told to
//	the engine's keys                  nothing, if nothing is encrypted; else refused (ErrWrongKey,
//	                                   ErrDamaged): what they encrypt cannot be read without them
//
// After a repair everything is counted again, once (recount.go): O(events), the only start that is.
// The file "recount" is there from before the first change until the counts are stored, in one
// transaction, so no start relies on counts that a repair has made wrong. Older versions of records
// may have come back: a lane's old record repeats deliveries, which at-least-once allows; an
// exception that is deleted is deleted again, because compaction might otherwise drop the deletion
// before the record it hides.
//
// A single flipped bit is not put right, although a checksum could say which one it was: no such
// case has come from the field, disks lose whole sectors, and every trick for it is one more place
// that can take a sound file for a damaged one. In the head of a value log it is, where all of the
// file would be lost with it.
//
// Nothing but the engine, and what only the right key can decrypt, refuses a start. How our own
// records look helps to find the next entry after damage; where it says nothing, the engine gets
// the file as it is.
//
// To repair an encrypted log takes its data key, which the engine keeps, encrypted with the spool's
// key, in its KEYREGISTRY. Whoever only reads a spool (package care: verify, export, stat) repairs
// nothing.
//
// # What is assumed
//
// That fsync and msync reach the disk, and that the disk honours flushes. That a file system is
// local and can allocate blocks ahead (fallocate; else every commit wants 8 MiB free). That nobody
// takes the last 28 MiB, and what a compaction needs, in the moment (0.1 s, a compaction some
// seconds) in which the engine writes a table: the tables' maps are Badger's own, and no gate can
// stop what has begun. A commit that may begin it waits while the disk fills fast. Checksums are
// our own, per record: Badger ends an iterator without an error at a block it cannot read, and
// returns flipped bits as data. A record whose checksum does not fit is moved aside (q), counted
// and told; this engine leaves no sequence out, so a missing one is noticed; the file "highwater"
// (package highwater), synced once a second, holds the newest sequence that was answered, and what
// is missing before it is set aside if a crash has left a log that may have held it. Without one, a
// spool that ends before the mark is not opened (ErrLoss) unless told to. Not survived: loss of the
// disk, a lying disk, an operator who edits the files. One who moves or removes them while they are
// open is noticed within a second (badger/premises.go), and the next start waits for them
// (volume/away.go).
package spool
