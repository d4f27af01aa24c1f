//go:build !(linux || darwin || freebsd || netbsd || openbsd)

package attempt

// peekReadable is false where we know no way to look; a stale connection then costs the
// redial that exchange.go makes.
func peekReadable(uintptr) bool { return false }
