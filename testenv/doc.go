// Package testenv proves the promises of hookspool from outside: it knows the binary, the config
// file and the wire, and nothing of what is inside. Only its bench also measures package spool by
// itself.
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
//   - Below nats is a cluster of NATS servers, to be killed, frozen and cut off from its disks, and
//     a gate between a relay and its server, which is shut at the n-th write.
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
// What takes more than seconds, root, a browser, programs that few machines have or the machine for
// itself runs only with HOOKSPOOL_LONG=1 (package effort), which .ci/nightly sets: a change waits
// for the rest.
//
// TestClients has generated clients (below clients) use a relay; their generators are installed at
// that moment.
//
// TestHTTP2 has nginx, Node and Go's own server before the receiver; each part skips where its
// server is not installed.
//
// Below console are the scenarios that drive the console in a headless Chromium.
//
// The tests named TestManual hold README and manual to the binary: every block of commands is run,
// every page is looked at on a terminal and in the console, every link is followed.
//
// The tests named TestFault break what is below the relay: power cuts and full file systems on loop
// devices, system calls that fail, kills, damaged files. Those that need root, loop devices or
// strace skip where there are none; HOOKSPOOL_SKIPS names a file that collects what was not proven.
// The long runs, before a release, with HOOKSPOOL_LONG=1:
//
//	go test ./testenv -run TestFaultPowerCuts -v -cuts 200 -timeout 2h
//	go test ./testenv -run TestFaultKills -v -kills 1000 -timeout 2h
//	go test ./testenv -run TestFaultAimed -v -aimed 30 -timeout 2h
//	go test ./testenv -run TestFaultGround -v -ground 20 -timeout 2h
//	go test ./testenv -run TestFleetChaos -v -chaos 100 -timeout 2h
//	go test ./testenv -run TestFleetWrites -v -writes 1000 -timeout 1h
//
// HOOKSPOOL_ENGINE=jetstream runs the scenarios on a cluster that is started for them. Those named
// TestFleet always do, with several relays of one spool. A scenario, or a part of one, that is
// about what only the embedded engine has says so (embeddedOnly): that spool backup makes a file
// from which restore makes a spool, and that a start counts no more than what came since its last
// checkpoint. The TestFault that break files of the spool are about those of the embedded one; most
// of them are left out there by the names that are run:
//
//	HOOKSPOOL_ENGINE=jetstream go test ./testenv ./testenv/console -p 1 -parallel 4 -timeout 60m \
//	  -run 'Test(P[1-8]|Alert|Console|Fault(Kills|Limits)$|Log|Metrics|Sample|Session)'
//
// A scenario that fails keeps its directory (config, spool, log) and prints the path and the seed.
// HOOKSPOOL_SEED repeats a seed, HOOKSPOOL_BINARY skips the build.
package testenv
