//go:build !race

package attempt

const raceDetector = false
