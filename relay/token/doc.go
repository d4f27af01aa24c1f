// Package token gets what a target wants as Authorization from an authorization server: the client
// credentials grant of OAuth 2 (RFC 6749 §4.4). It knows nothing of events and deliveries; an
// attempt asks a Source for the value, and tells it when the target refused one.
//
// What is on the wire is golang.org/x/oauth2's. Its ways of keeping a token are not used: they hold
// a lock while they ask, have one context for all askers, and cannot be told that a token is of no
// use.
//
// # When it asks
//
//	there is no token            the attempt that needs it asks; those beside it wait for the answer
//	the last minute of its life  one attempt asks, the others go on with the one there is; of a life
//	                             below two minutes it is the second half
//	the target answered 401      the next attempt asks; if that token is refused as well, it is kept
//	                             for a minute: who refuses every token is asked for no more of them
//	the server said no           not within the next second, then two, four, and eight at most: a
//	                             backlog is no reason to beset a server that is in trouble
//
// An attempt is one request, so that what a target sees is what is counted: one that a 401 ended is
// made again when it is due, and not at once.
//
// # Goroutines
//
// It starts none. An attempt asks in its own, within its own deadline. When it is cut off, another
// that waited asks instead.
package token
