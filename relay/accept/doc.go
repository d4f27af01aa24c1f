// Package accept is an event's way from the socket to the spool: a POST becomes a draft, the spool
// makes it durable, and only then is it answered (CONTRACT §4). It knows nothing of targets: who
// may want an event is its Judge's to say.
//
// # The way
//
//  1. listener.go bounds the connections, within what the limit of open files leaves to senders
//     (descriptors.go). Package framing stops what two readers could read differently.
//  2. server.go has the HTTP library and its limits.
//  3. accept.go is the story of a request. The head says whether an event is to be taken at all
//     (head.go); nothing is while memory is short (brink.go). The body is read within one budget of
//     memory (body.go); the request waits for its turn (turn.go).
//  4. event.go, cloudevent.go and batch.go find type and id, json.go looks into the payload, and
//     cedata.go tells repeats of a CloudEvent from conflicts.
//  5. The Judge has its say, the spool appends, the sender is answered. Whatever is refused is
//     refused by problem.go.
//
// # Goroutines
//
// It starts none. The HTTP library has one for each connection, which holds the request until the
// spool has answered, and a cleaner; they end with Shutdown.
package accept
