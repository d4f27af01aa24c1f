// Package testenv proves the promises of hookspool from outside: it knows the binary, the config
// file and the wire, and nothing of what is inside.
//
// The pieces:
//
//   - Relay is the real binary in a process of its own, on ports of its own, with a spool of its
//     own; it can be killed, terminated, restarted and reloaded.
//   - Receiver is where targets point. It answers by script, with any bytes or none, and remembers
//     every request.
//   - Mailbox is a real SMTP server that refuses, hangs or is away on command.
//   - Ledger is the oracle. It notes every POST with its answer, and Check proves that what was
//     accepted is delivered, pending or exhausted, that nothing was invented or changed, and that
//     no attempt number was skipped.
//   - Journey ties them together; its end re-verifies the whole ledger.
//
// Scenarios are the tests of this package, named after the promise they prove (P1 to P8). There
// are no sleeps: a scenario waits for a condition with a deadline (Until), and "nothing happens any
// more" is measured in ticks of the relay, not in seconds.
//
// No test sends anything to elsewhere than loopback, a lookup of a name included: names that a test
// needs are known to a name server of its own, in a namespace of its own. Below alone is a program
// that watches that; it works for every package:
//
//	go build -o alone ./testenv/alone && go test -exec $PWD/alone ./...
//
// TestClients has generated clients (below clients) use a relay; their generators are installed at
// that moment, so that it runs only with HOOKSPOOL_LONG, like what builds a release.
//
// The tests named TestConsole drive the console in a headless Chromium, with mouse and keys; they
// skip where there is no chromium, and fail at anything that the browser complains of.
//
// The tests named TestManual hold README and manual to the binary: every block of commands is run,
// every page is looked at on a terminal and in the console, every link is followed.
//
// The tests named TestFault break what is below the relay: power cuts and full file systems on loop
// devices, system calls that fail, kills, damaged files. Those that need root, loop devices or
// strace skip where there are none; HOOKSPOOL_SKIPS names a file that collects what was not proven.
// The long runs, before a release:
//
//	go test ./testenv -run TestFaultPowerCuts -v -cuts 200 -timeout 2h
//	go test ./testenv -run TestFaultKills -v -kills 1000 -timeout 2h
//
// A scenario that fails keeps its directory (config, spool, log) and prints the path and the seed.
// HOOKSPOOL_SEED repeats a seed, HOOKSPOOL_BINARY skips the build.
package testenv
