package admin

import (
	"time"

	"github.com/hookspool/hookspool/relay/sieve"
)

// The bounds of a page. What a page holds is bounded by limit; what is looked at for it by the
// backend, so that a page may be short, even empty, and yet name a next one.
const (
	pageDefault = 100
	pageMax     = 1000
)

// Finder answers where events and deliveries are. Errors as in Backend.
type Finder interface {
	// Event tells where an event is, Payload what it holds.
	Event(id string) (Event, error)
	Payload(id string) ([]byte, error)
	// Events lists events, newest first, a page at a time.
	Events(q EventQuery) (Events, error)
	// Deliveries lists deliveries a page at a time: pending and exhausted ones oldest event first,
	// delivered ones newest first.
	Deliveries(q Query) (Deliveries, error)
	// Attempts tells what was tried for an event; of one target, or of all if it is empty.
	Attempts(id, target string) (Attempts, error)
	// RecentAttempts are the last attempts of a target, newest first.
	RecentAttempts(name string, limit int) (RecentAttempts, error)
	// Conversation tells what is known of one, and a page of what happened in it, oldest first.
	Conversation(q ConversationQuery) (Conversation, error)
	// Failures groups a page of what failed at a target, oldest event first, by how it failed. after
	// is the Next of the page before.
	Failures(name, after string) (Failures, error)
	// History is what happened in the minutes or hours of a span, 24h, 1h or 30d: to a target, or, for
	// no name, to the relay.
	History(name, span string) (History, error)
}

// Window bounds the instant of acceptance; a zero time does not.
type Window struct {
	Since time.Time
	Until time.Time
}

// Page is where a listing goes on, and for how long.
type Page struct {
	Limit int    // 1 to 1000
	After string // the Next of the page before; empty: from the start
}

// EventQuery selects events; empty fields select all.
type EventQuery struct {
	Type   string // exact, or with * as in the config
	Target string
	State  string // some delivery of it, to Target if given, is pending, delivered or exhausted
	ID     string // the only event
	Choice sieve.Choice
	Window
	Page
}

// Query selects deliveries. Empty fields select all; without a Target the targets follow each other
// in the order of their names.
type Query struct {
	Target string
	State  string // pending, exhausted or delivered
	Type   string // exact, or with * as in the config
	ID     string // the only event
	Choice sieve.Choice
	Window
	Page
}

// Looked is how far a page of a walk came.
type Looked struct {
	// LookedAt is how many records the page looked at; Left about how many the pages after it will.
	LookedAt int `json:"looked_at"`
	Left     int `json:"left"`
	// WhereErrors is on how many events a program of where failed, which counts as no match;
	// WhereError why on the first, without what is in it.
	WhereErrors int    `json:"where_errors,omitempty"`
	WhereError  string `json:"where_error,omitempty"`
}

// Event is the answer of GET /v1/events/{id}.
type Event struct {
	ID          string          `json:"id"`
	Type        string          `json:"type"`
	ContentType string          `json:"content_type"`
	AcceptedAt  time.Time       `json:"accepted_at"`
	Session     string          `json:"session"` // active, inactive or empty
	Bytes       int             `json:"bytes"`
	Deliveries  []DeliveryState `json:"deliveries"`
	// Why says of an event without deliveries why it has none; left out of any other. Unwanted are the
	// targets that refused it, if none wanted it and that is remembered.
	Why      string      `json:"why,omitempty"`
	Unwanted []NotWanted `json:"unwanted,omitempty"`
	// Curl is the command that brings it in again, without the token; left out of a list, and where
	// there is no payload.
	Curl string `json:"curl,omitempty"`
}

// NotWanted is a target that did not want an event.
type NotWanted struct {
	Target string `json:"target"`
	// RefusedBy is events, disabled, where or session, as for an explanation.
	RefusedBy string `json:"refused_by"`
	Note      string `json:"note"`
}

// Events is one page of GET /v1/events.
type Events struct {
	Events []Event `json:"events"`
	Next   string  `json:"next"` // for the next page; empty: this is the last
	Looked
}

// DeliveryState is where one delivery is.
type DeliveryState struct {
	Target string `json:"target"`
	State  string `json:"state"` // pending, delivered, exhausted, expired or purged
	// Why is one sentence: where it is, why, and what comes next. Hint is what helps, a command
	// mostly; empty: nothing is needed.
	Why  string `json:"why"`
	Hint string `json:"hint"`
	// NextAttemptAt is when it is tried next at the earliest; nil: at once when its turn comes, or not
	// before something else happens, which Why tells.
	NextAttemptAt *time.Time `json:"next_attempt_at"`
	// AttemptsLeft are the requests that follow if all of them fail; 0 unless it is pending.
	AttemptsLeft int `json:"attempts_left"`
	// ExhaustsAt is an estimate of when the last of them is made; nil: nobody can know.
	ExhaustsAt *time.Time `json:"exhausts_at"`
	// KeptUntil is when the sweep may take what is settled; nil: it is pending.
	KeptUntil *time.Time `json:"kept_until"`
	Attempts  int        `json:"attempts"` // requests so far, as far as they are kept
	// DeliveredAt, Status and Duration are of the attempt that delivered it; nil: it is not delivered,
	// or was before that was kept.
	DeliveredAt  *time.Time `json:"delivered_at"`
	Status       *int       `json:"status"`
	Duration     *float64   `json:"duration_ms"`
	FirstFailure *time.Time `json:"first_failure"`
	LastAttempt  *time.Time `json:"last_attempt"`
	LastStatus   int        `json:"last_status"`
	LastError    string     `json:"last_error"`
	Replay       bool       `json:"replay"`
}

// Deliveries is one page of GET /v1/deliveries.
type Deliveries struct {
	Deliveries []Delivery `json:"deliveries"`
	Next       string     `json:"next"` // for the next page; empty: this is the last
	Looked
}

// Delivery is one delivery in a listing.
type Delivery struct {
	ID         string    `json:"id"` // of the event; empty if the event cannot be read
	Type       string    `json:"type"`
	Session    string    `json:"session"` // active, inactive or empty, as every attempt says it
	AcceptedAt time.Time `json:"accepted_at"`
	Bytes      int       `json:"bytes"`
	DeliveryState
}

// Attempts is the answer of GET /v1/attempts/{id}, oldest first.
type Attempts struct {
	ID       string    `json:"id"`
	Attempts []Attempt `json:"attempts"`
	// KeptFrom is the number of the attempt from which on every one is kept; before it only the
	// first is. With several targets it is the highest of theirs. 0: nothing is left out.
	KeptFrom int `json:"kept_from"`
}

// Attempt is one request that was made. One that was withheld, for a reason of our own, is listed
// under the number that it was to have; it was none, and the next has the same number.
type Attempt struct {
	Target  string    `json:"target"`
	Attempt int       `json:"attempt"` // 0 is the live one
	At      time.Time `json:"at"`      // of the outcome
	// Outcome is success, status, timeout, connect, dns, tls, protocol or withheld.
	Outcome  string  `json:"outcome"`
	Status   int     `json:"status"` // 0: there was no answer
	Error    string  `json:"error"`
	Duration float64 `json:"duration_seconds"`
	Remote   string  `json:"remote"`
	// Snippet is the beginning of a failure's answer: 1 KiB, of a recent attempt 256 bytes, with "…"
	// if there was more; bytes that are not UTF-8 are replaced.
	Snippet string `json:"snippet"`
	Replay  bool   `json:"replay"`
	// Request and Response are the heads of the first and the last failure of a delivery, secrets
	// redacted; left out where they are not kept, and where nothing was sent or answered.
	Request  *RequestHead  `json:"request,omitempty"`
	Response *ResponseHead `json:"response,omitempty"`
	// Curl are the commands that make the request again from a terminal; left out of recent attempts.
	Curl string `json:"curl,omitempty"`
}

// RequestHead is what was sent before the payload.
type RequestHead struct {
	Method  string        `json:"method"`
	URL     string        `json:"url"` // masked
	Headers []HeaderField `json:"headers"`
	Cut     bool          `json:"cut"` // there were more of them
}

// ResponseHead is what was answered before the body.
type ResponseHead struct {
	StatusLine string        `json:"status_line"` // as received
	Headers    []HeaderField `json:"headers"`
	Cut        bool          `json:"cut"` // there were more of them
}

// HeaderField is one field of a head, as it was sent.
type HeaderField struct {
	Name  string `json:"name"`
	Value string `json:"value"` // "<redacted>" for a secret
}

// RecentAttempts is the answer of GET /v1/targets/{name}/attempts, newest first.
type RecentAttempts struct {
	Attempts []RecentAttempt `json:"attempts"`
}

// RecentAttempt is an attempt with what it was for; ID and Type are empty when the event is gone.
type RecentAttempt struct {
	ID   string `json:"id"`
	Type string `json:"type"`
	Attempt
}

// ConversationQuery asks for one conversation.
type ConversationQuery struct {
	Key string // field=value, or the value alone
	// Since is from when on what happened is told; zero: for two windows.
	Since time.Time
	Page
}

// Conversation is the answer of GET /v1/conversations/{key}.
type Conversation struct {
	// Key is the one that it is kept under, Keys those that the page met, the former among them.
	Key  string   `json:"key"`
	Keys []string `json:"keys"`
	// State, OpenedAt, LastUserAt and Until are as of now: whether both sides have written in the
	// increment that runs, when a business message opened the last one, when the user wrote last, and
	// when the one that runs ends.
	State      string     `json:"state"` // active or inactive
	OpenedAt   *time.Time `json:"opened_at"`
	LastUserAt *time.Time `json:"last_user_at"`
	Until      *time.Time `json:"until"`
	// Timeline is a page of what happened, oldest first, as far as events are kept.
	Timeline []Moment `json:"timeline"`
	Next     string   `json:"next"` // for the next page; empty: this is the last
	Looked
}

// Moment is an event in a conversation.
type Moment struct {
	At   time.Time `json:"at"`
	ID   string    `json:"id"`
	Type string    `json:"type"`
	// Side is who wrote: business, user, or empty for an event that takes no side.
	Side string `json:"side"`
	// Session is the state that the event was frozen with.
	Session string `json:"session"`
	// What tells what the event did: it opened an increment, or made one active. Empty: nothing.
	What string `json:"what"`
	// Until is when the increment ends that ran then; null: none did.
	Until *time.Time `json:"until"`
	// Differs: by the events that are kept the state would be another one. What made it that is not
	// kept: nobody wanted it, or it has been swept.
	Differs bool `json:"differs"`
}

// Failures is one page of GET /v1/targets/{name}/failures.
type Failures struct {
	Target string `json:"target"`
	// LookedAt are the deliveries that this page looked at; Next is for the next page, empty: this is
	// the last. What is in several pages in the same words is one group.
	LookedAt int    `json:"looked_at"`
	Next     string `json:"next"`
	// Groups are at most 64, the largest first; Others are the deliveries in none of them.
	Groups []FailureGroup `json:"groups"`
	Others int            `json:"others"`
}

// FailureGroup are deliveries whose last attempts failed alike.
type FailureGroup struct {
	// Outcome is that of an Attempt, expired, or unknown where no attempt is kept.
	Outcome string `json:"outcome"`
	Status  int    `json:"status"` // 0: there was no answer
	Error   string `json:"error"`  // of the newest
	// Line is the first line of the newest one's answer that says something, the title of a page of
	// HTML; empty: there was no answer, or it is not kept.
	Line string `json:"line"`
	// Count is pending, exhausted and expired ones together.
	Count     int       `json:"count"`
	Pending   int       `json:"pending"`
	Exhausted int       `json:"exhausted"`
	Expired   int       `json:"expired"`
	FirstSeen time.Time `json:"first_seen"`
	LastSeen  time.Time `json:"last_seen"`
	Example   string    `json:"example"` // id of the newest one's event
	// Failure selects exactly them in a search, a listing, a replay and a purge; a group has the same
	// name as long as anything is in it.
	Failure string `json:"failure"`
	// ByStatus or ByError selects them in a search and a replay, with all others of that status, or
	// whose error has that part.
	ByStatus string `json:"by_status"`
	ByError  string `json:"by_error"`
}

// History is the answer of GET /v1/history: a value for each stretch of StepSeconds, the first of
// which begins at From; the last one is under way.
type History struct {
	Target string    `json:"target"` // empty: the relay
	Span   string    `json:"span"`
	From   time.Time `json:"from"`
	// UnknownFrom is from when on there may be more than is told, and UnknownWhy why; left out: all is
	// known. Only where several relays share the spool.
	UnknownFrom *time.Time `json:"unknown_from,omitempty"`
	UnknownWhy  string     `json:"unknown_why,omitempty"`
	StepSeconds int        `json:"step_seconds"`
	// Accepted are events that the target is owed, or all that were accepted.
	Accepted []uint32 `json:"accepted"`
	// Refused are requests with events that were refused, Unmatched the accepted events that no target
	// wanted; both are of the relay alone.
	Refused   []uint32 `json:"refused,omitempty"`
	Unmatched []uint32 `json:"unmatched,omitempty"`
	Delivered []uint32 `json:"delivered"`
	// Failed are failed attempts by outcome. Those that never were are left out.
	Failed map[string][]uint32 `json:"failed"`
	// P50 and P99 are what attempts took, in milliseconds, 12 % off at most; null: none was made.
	P50 []*float64 `json:"p50_ms"`
	P99 []*float64 `json:"p99_ms"`
}
