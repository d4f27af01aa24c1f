package testenv

import (
	"fmt"
	"math/rand/v2"
	"net"
)

// The ports below those that systems give to whoever asks for any, which begin at 32768 (Linux) or
// 49152 (the BSDs).
const (
	portFirst = 10_000
	portCount = 22_000
)

// FreeAddress is host:port of loopback where nobody listens. The system gives it to nobody who asks
// for any port: it is still free when the process under test comes to listen there, and when that
// one comes back after a restart.
func FreeAddress() (string, error) {
	var last error
	for range 100 {
		port := portFirst + rand.IntN(portCount)
		ln, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", port))
		if err == nil {
			return ln.Addr().String(), ln.Close()
		}
		last = err
	}
	return "", fmt.Errorf("no port is free: %w", last)
}
