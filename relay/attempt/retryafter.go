package attempt

import (
	"math"
	"net/http"
	"time"
)

// retryAfterBytesMax is more than a date in any of its forms has.
const retryAfterBytesMax = 64

// parseRetryAfter is how long a Retry-After asks for at now, in either form: seconds, or a date. 0:
// nothing, because it is neither, or has passed. A century is as good as any other time; whoever
// asks bounds it.
func parseRetryAfter(text string, now time.Time) time.Duration {
	if text == "" {
		return 0
	}
	if n, ok := parseLength([]byte(text)); ok {
		return time.Duration(min(n, math.MaxInt64/int64(time.Second))) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return max(at.Sub(now), 0)
}
