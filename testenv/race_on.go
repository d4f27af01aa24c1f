//go:build race

package testenv

// raceDetector says that the tests run under the race detector; so does the binary they build.
const raceDetector = true

// slowness is how much slower everything is, on a machine that does other things too.
const slowness = 2
