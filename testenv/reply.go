package testenv

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// OK answers 200.
func OK() Reply { return Code(200) }

// Code answers a status with a short body.
func Code(status int) Reply {
	body := fmt.Sprintf("the receiver says %d\n", status)
	if status == 204 || status == 304 {
		return Raw(status, fmt.Sprintf("HTTP/1.1 %d %s\r\n\r\n", status, http.StatusText(status)))
	}
	return Raw(status, fmt.Sprintf("HTTP/1.1 %d %s\r\nContent-Length: %d\r\n\r\n%s", status,
		http.StatusText(status), len(body), body))
}

// Answering answers a status and a body.
func Answering(status int, body string) Reply {
	return Raw(status, fmt.Sprintf("HTTP/1.1 %d No\r\nContent-Length: %d\r\n\r\n%s", status, len(body),
		body))
}

// RetryAfter answers a status with a Retry-After.
func RetryAfter(status int, after string) Reply {
	return Raw(status, fmt.Sprintf("HTTP/1.1 %d %s\r\nRetry-After: %s\r\nContent-Length: 0\r\n\r\n",
		status, http.StatusText(status), after))
}

// Redirect answers a status with a Location.
func Redirect(status int, to string) Reply {
	return Raw(status, fmt.Sprintf("HTTP/1.1 %d %s\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n",
		status, http.StatusText(status), to))
}

// Raw writes bytes that say status, and keeps the connection.
func Raw(status int, bytes string) Reply {
	return func(conn net.Conn, _ *Request) (bool, int) {
		if _, err := io.WriteString(conn, bytes); err != nil {
			return false, 0
		}
		return true, status
	}
}

// RawClose writes bytes, possibly none, that say no status or 200, and closes.
func RawClose(status int, bytes string) Reply {
	return func(conn net.Conn, req *Request) (bool, int) {
		_, status := Raw(status, bytes)(conn, req)
		return false, status
	}
}

// Close closes without a word.
func Close() Reply { return RawClose(0, "") }

// Reset sends a TCP reset instead of an answer.
func Reset() Reply {
	return func(conn net.Conn, _ *Request) (bool, int) {
		_ = conn.(*inHandConn).Conn.(*net.TCPConn).SetLinger(0)
		return false, 0
	}
}

// Hang answers nothing until the other side goes away.
func Hang() Reply {
	return func(conn net.Conn, _ *Request) (bool, int) {
		_, _ = conn.Read(make([]byte, 1))
		return false, 0
	}
}

// Held answers like next once gate is closed, or nothing if the other side goes away before.
func Held(gate <-chan struct{}, next Reply) Reply {
	return func(conn net.Conn, req *Request) (bool, int) {
		gone := make(chan struct{})
		go func() { // ends with the answer or with the connection
			defer close(gone)
			_, _ = conn.Read(make([]byte, 1))
		}()
		select {
		case <-gate:
		case <-gone:
			return false, 0
		}
		_, status := next(conn, req)
		_ = conn.Close() // the goroutine above has read from it
		<-gone
		return false, status
	}
}

// Slow answers like next after d, if the other side is still there.
func Slow(d time.Duration, next Reply) Reply {
	return func(conn net.Conn, req *Request) (bool, int) {
		gate := make(chan struct{})
		timer := time.AfterFunc(d, func() { close(gate) })
		defer timer.Stop()
		return Held(gate, next)(conn, req)
	}
}

// Drip writes the bytes one at a time, every so often, until they or the other side are gone. Only
// the whole of them says status.
func Drip(every time.Duration, status int, bytes string) Reply {
	return func(conn net.Conn, _ *Request) (bool, int) {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for i := range len(bytes) {
			if _, err := io.WriteString(conn, bytes[i:i+1]); err != nil {
				return false, 0
			}
			<-tick.C
		}
		return false, status
	}
}

// HeadThen writes a complete 200 head, and then what follows until the other side goes away.
func HeadThen(head string, body io.Reader) Reply {
	return func(conn net.Conn, _ *Request) (bool, int) {
		if _, err := io.WriteString(conn, head); err != nil {
			return false, 0
		}
		_, _ = io.Copy(conn, body)
		return false, 200
	}
}

// Endless is a body without an end.
type Endless struct{}

func (Endless) Read(b []byte) (int, error) {
	return copy(b, strings.Repeat("endless ", len(b)/8+1)), nil
}

// FailFirst fails the first n requests of every delivery with a status, and then answers 200.
func FailFirst(n, status int) Script {
	return func(req *Request) Reply {
		if req.NthOfID <= n {
			return Code(status)
		}
		return OK()
	}
}

// then makes one reply and, on the same connection, another; the first one's status counts.
func then(first, second Reply) Reply {
	return func(conn net.Conn, req *Request) (bool, int) {
		_, status := first(conn, req)
		_, _ = second(conn, req)
		return false, status
	}
}
