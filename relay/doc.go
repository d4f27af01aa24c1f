// Package relay is the promise: an event answered 200 is on disk, and every delivery it owes will
// be attempted until it is acknowledged or exhausted, each target on its own.
//
// # An event's journey
//
//  1. Package accept stops what two readers could read differently, reads the request, refuses what
//     cannot be an event, and, in its turn, finds type, id and conversation.
//  2. Who gets it is decided by want.go in two stages: types and the status of targets while the
//     request is in hand, by the setup of that moment; then the session (package session) and its
//     filters, by the spool's committer. All of that is frozen.
//  3. The event is synced to disk, alone or with whoever waits beside it.
//  4. The sender is answered 200.
//     While a quick target waits for a CPU, senders wait with it (relay.go, package pulse).
//  5. Each lane (lane.go) is handed the event and makes attempt 0 at once, on a worker of its crew
//     (crew.go), within its slots (package slots). A target that gets batches is sent many in one
//     request (batch.go), written so that another relay can take them apart (package envelope).
//  6. The outcome is judged by the head of the answer alone (package attempt) and settled:
//     delivered, or an exception that waits for a tick. An attempt that we could not make for a
//     reason of our own is none (crew.go).
//  7. A tick (tick.go) is stored, then every lane with something due runs a job (job.go): each
//     delivery that failed before gets one attempt, oldest first.
//  8. The job's verdict moves the standing (defect.go). The 101st failed job in a row makes the
//     target Defective and an alert owed (payer.go); the first success makes it Enabled
//     again. What comes on before is warned of (warn.go).
//  9. After the 144th retry a delivery is exhausted: kept, listed, replayable.
//  10. When nobody needs the event any more the spool sweeps it.
//
// Whoever asks on the way hears where each delivery is, why, and what comes next (why.go, package
// outlook). What nobody wanted is remembered for a while (package unwanted).
//
// # Goroutines
//
// All are started by Relay.spawn, and Run waits for all of them.
//
//	what          number              waits for                          ended by
//	lane.live     1 a target          the spool's Ready, a slot, its     stopping, forgetting
//	              gate (package gate)
//	earlyLoop     ≤ 1 a target        its timer, a slot                  the same, nothing to retry
//	lane.jobLoop  1 a target          an order from Tick                 the same; its attempts
//	worker        ≤ slots a lane      a task, at most workerIdle         stopping, idleness
//	clock.loop    1                   its timer, a new interval          stopping
//	payer.loop    1 a way: mail, post something owed                     stopping; its conversation
//	warnLoop      1                   its timer                          stopping; a commit
//	reloader      1                   its timer                          stopping
//	follower      1, if others share  the spool's Changed, its timer     stopping; a commit
//	              the spool
//	serving       1 a listener        connections                        shutdown of the listener
//
// A target that goes from the config keeps its two until it is forgotten; a lane that has had no
// target since the start has none.
//
// The HTTP library has one goroutine a connection of its own, which holds the request until the
// spool has answered; the spool has three (committer, keeper, memory). Reading a file of the config
// has one (config.Files), which leaving does not wait for: a network file system may never answer.
// A build with the tag otel (package trace) has the exporter's, which Tracer.Close ends.
//
// # Several relays
//
// Where several relays share a spool each accepts events, and each lane is served by one of them,
// its owner, until the spool gives it to another one (company.go). The owner alone writes the
// lane's standing, memo and notices, runs its jobs, pays its alerts and shows its gauges. An
// attempt that is in flight when the lane goes finishes, and counts for nothing: the next owner
// makes it again. One relay leads: it beats the ticks, which all others hear, and warns of space.
// Orders to a target are carried out by its owner, whichever relay they were given to (order.go);
// what is only looked at is answered where it is asked. What relays say to each other is in package
// peers. A relay whose spool is its own has a nil peers.Company, and every lane.
//
// # Leaving
//
// Unready at once; accepting until no request came for a second; what is in hand is answered; no
// new ticks, attempts, alerts; attempts in flight finish or are cut off when drain_timeout is up
// (an attempt that was cut off was never made, as far as counting goes); their outcomes are
// settled; the spool is closed. SIGKILL at any instant leaves the same kind of spool.
package relay
