//go:build !(linux || darwin || freebsd || netbsd || openbsd)

package attempt

// canPeek is false where we know no way to look; a stale connection then costs the redial that
// exchange.go makes.
const canPeek = false

func peekReadable(uintptr) bool { return false }

func readNow(uintptr, []byte) (int, error) { return 0, errHeld }
