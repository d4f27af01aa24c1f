// Package look answers where events and deliveries are: what was found ([Search]), what a target
// still has to get ([List]), what came in which order ([Read]), where each delivery of an event is
// ([Places]), what was tried ([History]), and events by sequence and id ([Event], [EventByID]).
//
// A look decides nothing and writes nothing, and every one is bounded: a page reads so many records
// and so many bytes, whatever the backlog is, and says where the next page goes on. What it says is
// true of some instant while it was made.
//
// It stands below package spool and reads through the engine. Of a running spool it asks what only
// its memory knows ([Source]), with lanes named by their numbers.
//
// # In which order
//
// A delivery begins in the log, on its way to its lane. If it fails it becomes an exception, beside
// the log, and may become exhausted there, or be asked for again. It never goes back into the log.
// So a look asks first what is still on its way, then waits until what was begun until then is
// written (Barrier), and reads what is beside the log last. The other way round, a delivery that
// fails meanwhile would be in neither place, and be taken for delivered.
package look
