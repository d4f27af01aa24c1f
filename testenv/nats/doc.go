// Package nats runs a cluster of NATS servers with JetStream for tests: nodes that can be killed,
// frozen and started again on the same ports and the same store.
//
// Start makes nodes that are processes of their own, for tests that take something away from them.
// StartInProcess makes nodes inside the test's process, for tests that only need a cluster: no
// binary is built for it.
//
// It stands alone, without the rest of testenv, so that tests of an engine and of testenv itself
// can both use it. Everything listens on loopback.
package nats
