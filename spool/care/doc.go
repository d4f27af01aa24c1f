// Package care looks after a spool beside its work: stat, verify, export, import, backup, restore.
//
// It stands below package spool, on the engine and the table of records, and asks of a spool only
// what an interface here says. A Source can be read as of one instant; it is a spool that runs, or
// a Reader of one at rest, and stat, export and backup do not know which. An Importer takes events
// of another spool. Two things are a spool's at rest alone: Verify, which reads the engine's files
// as files before the engine does, and Restore, which makes one.
//
// All of them read a Snapshot: the small records, then the log, and beside it, in the same order,
// what each lane keeps of it. So neither memory nor a lookup for each delivery is needed, however
// long the log is. Package spool reads it as well, to count everything again after a repair.
//
// Nothing here repairs anything. Whoever reads a spool at rest keeps relays out meanwhile; whoever
// reads one that runs holds it up for one sync.
package care
