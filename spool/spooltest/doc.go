// Package spooltest is what every engine of a spool must pass, and an engine in memory that passes
// it. It is for tests: nothing that is shipped imports it, and a relay cannot be told to use that
// engine.
//
// [Run] goes through the public face of package spool with a [Bed], which is what the spools of one
// test stand on. After every step the whole ledger is compared with what the spool says: every
// count, every delivery, every event, what is owed to the operator, what is remembered of
// conversations; and the spool verifies itself.
//
// [Memory] is the engine: a sorted slice that a commit replaces. It keeps what is committed apart
// from what is in a transaction. It refuses what the seam forbids: a transaction above its bounds,
// a sequence that is not above all others, a look that is not closed. Its clock is the test's, and
// it crashes on request, between two commits or in one. The mutants in the tests are this engine
// with one promise broken each; the suite must notice every one.
package spooltest
