package admin

import "time"

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
	Window
	Page
}

// Query selects deliveries. Empty fields select all; without a Target the targets follow each other
// in the order of their names.
type Query struct {
	Target string
	State  string // pending, exhausted or delivered
	Type   string // exact, or with * as in the config
	Window
	Page
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
}

// Events is one page of GET /v1/events.
type Events struct {
	Events []Event `json:"events"`
	Next   string  `json:"next"` // for the next page; empty: this is the last
}

// DeliveryState is where one delivery is.
type DeliveryState struct {
	Target       string     `json:"target"`
	State        string     `json:"state"`    // pending, delivered, exhausted or purged
	Attempts     int        `json:"attempts"` // failed requests so far, as far as they are kept
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
}

// Delivery is one delivery in a listing.
type Delivery struct {
	ID         string    `json:"id"` // of the event; empty if the event cannot be read
	Type       string    `json:"type"`
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
	// Snippet is the beginning of a failure's answer; bytes that are not UTF-8 are replaced.
	Snippet string `json:"snippet"`
	Replay  bool   `json:"replay"`
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
