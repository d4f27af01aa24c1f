// Package admin serves the admin listener: health, metrics and the JSON API that the verbs of the
// command line and the console use (CONTRACT §8). What is answered comes from a Backend, which the
// relay is; this package decides who may ask, and how it looks on the wire.
//
// net/http serves it, and every byte of a request goes a way in four steps: the crowd takes its
// connection (crowd.go), the guard of package framing lets pass what all read alike, the library
// reads it, and the mux finds its route (route.go). What the library would answer by itself is said
// in the words of all other refusals (wire.go).
package admin

import (
	"context"
	"fmt"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/hookspool/hookspool/relay/tally"
)

// Backend is what the admin listener needs of a relay. Its methods are safe for concurrent use.
// Errors are *Error when the caller is at fault; any other is the relay's and answers 500.
type Backend interface {
	// Status describes the relay as a whole.
	Status() Status
	// Targets describes every target of the config and every orphan that still owes deliveries,
	// in the order of their names.
	Targets() []Target
	// Target describes one; false: there is none of this name.
	Target(name string) (Target, bool)
	// Sample triggers a sample callback and waits for it. It touches no counter, standing or spool.
	Sample(ctx context.Context, name string, q SampleQuery) (Sample, error)
	// Enable runs a job now, whose first success lifts a defect, and returns its number, or one below
	// that of the job which comes after the one that runs; 0: nothing is due. With Force it lifts the
	// defect in any case.
	Enable(o Order) (job uint64, err error)
	// Retry runs a job now and changes no state; one that is running goes on.
	Retry(o Order) (job uint64, err error)
	// Pause holds a target, Resume releases it.
	Pause(o Order) error
	Resume(o Order) error
	// Reload reads the config again, and returns the keys that changed but need a restart; the error
	// is *Error with Faults when the file is at fault.
	Reload() (restart []string, err error)
	// Unready are the reasons why the relay is not ready; none: it is.
	Unready() []string
	// Dead is why the relay cannot go on; nil: it lives.
	Dead() error
	// Gather collects the metrics.
	Gather() ([]*dto.MetricFamily, error)
	// Follow returns what tells the attempts made since it was last called, of every target, oldest
	// first: most at a time, and how many were left out before them. It is for one caller.
	Follow() func(most int) (attempts []RecentAttempt, dropped uint64)
	Clerk
	Finder
	Replayer
	Explainer
	Cataloguer
	Care
}

// Error is a refusal with the status and code of a problem+json answer.
type Error struct {
	Status int
	Code   string
	Detail string
	Hint   string
	// Faults are what is wrong with a config, or with lines of an import.
	Faults []string
	// Lines are the numbers of those lines, from 1, one for each fault.
	Lines []int
	// RetryAfter, in seconds, when waiting helps; 0: no header.
	RetryAfter int
}

func (e *Error) Error() string { return e.Detail }

// Refuse makes an Error.
func Refuse(status int, code, format string, args ...any) *Error {
	return &Error{Status: status, Code: code, Detail: fmt.Sprintf(format, args...)}
}

// Status is the answer of GET /v1/status.
type Status struct {
	Version   string    `json:"version"`
	Spool     string    `json:"spool"` // the spool's id
	Config    string    `json:"config"`
	StartedAt time.Time `json:"started_at"`
	Ready     bool      `json:"ready"`
	Unready   []string  `json:"unready"` // reasons; empty when ready
	// Listen are the addresses where events are taken, as bound.
	Listen []string `json:"listen"`
	// Admin is the address of this API, as bound.
	Admin    string     `json:"admin"`
	Interval string     `json:"interval"` // retry.interval
	LastTick *time.Time `json:"last_tick"`
	NextTick *time.Time `json:"next_tick"`
	Accepted uint64     `json:"accepted"` // since the start
	// AcceptedPerSecond is a mean of the last 5 seconds.
	AcceptedPerSecond float64 `json:"accepted_per_second"`
	Pending           uint64  `json:"pending"`
	Exhausted         uint64  `json:"exhausted"`
	Quarantined       int64   `json:"quarantined"` // records set aside, ever
	SpoolBytes        int64   `json:"spool_bytes"`
	SpoolLimit        int64   `json:"spool_limit"`
	FreeBytes         int64   `json:"free_bytes"`
	FreeInodes        *int64  `json:"free_inodes"` // null: the file system does not count them
	// MemoryLimit is what the bounds of memory follow from, 0: there is none; BodiesLimit bounds the
	// bytes of bodies in hand, ConnectionsLimit the connections of senders.
	MemoryLimit      int64      `json:"memory_limit"`
	BodiesLimit      int64      `json:"bodies_limit"`
	ConnectionsLimit int64      `json:"connections_limit"`
	LastEvent        *time.Time `json:"last_event"` // the newest acceptance since the start
	ReloadedAt       time.Time  `json:"reloaded_at"`
	ReloadFailed     bool       `json:"reload_failed"`
	// Relays are those that share the spool, by name; none: it is this relay's own.
	Relays []Peer `json:"relays,omitempty"`
	// CopiesComparedAt is when the copies that the servers of a shared spool have of it were compared
	// last; null: they were not.
	CopiesComparedAt *time.Time `json:"copies_compared_at,omitempty"`
	// CopiesShort are those that lack messages.
	CopiesShort []ShortCopy `json:"copies_short,omitempty"`
}

// ShortCopy is a server's copy of a shared spool that lacks messages, though the server says that
// it is current.
type ShortCopy struct {
	Server  string    `json:"server"`
	Missing uint64    `json:"missing"` // messages that another copy has, at least
	Since   time.Time `json:"since"`   // when that was found
	Leads   bool      `json:"leads"`   // the others take what they lack from it
	// Doubtful: too few copies could be compared, or more than one differs, so that it may be the
	// others that keep what was deleted.
	Doubtful bool `json:"doubtful"`
}

// Peer is one of the relays that share a spool.
type Peer struct {
	Name    string `json:"name"`    // spool.jetstream.relay
	Version string `json:"version"` // empty: it has not said yet
	// Admin is the address of its own admin API, as bound.
	Admin string `json:"admin"`
	Lanes int    `json:"lanes"` // targets that it serves
	Leads bool   `json:"leads"` // it beats the ticks and cares for the spool
	// SeenAgo is when it last gave a sign of life, in seconds.
	SeenAgo float64 `json:"seen_ago"`
	// ConfigDiffers: it has had another config than the relay that answers for a while.
	ConfigDiffers bool `json:"config_differs"`
	// ClockAhead is how far its clock is ahead of that of the relay that answers, in seconds; behind:
	// negative.
	ClockAhead float64 `json:"clock_ahead"`
}

// Reloaded is the answer of POST /v1/reload: the status, and what the reload could not change.
type Reloaded struct {
	Status
	RestartNeeded []string `json:"restart_needed"` // keys such as server.listen; empty: none
}

// Target is one element of GET /v1/targets.
type Target struct {
	Name          string     `json:"name"`
	Status        string     `json:"status"` // Enabled, Disabled, Paused or Defective
	Events        []string   `json:"events"`
	FailedJobs    int        `json:"failed_jobs"`
	Pending       uint64     `json:"pending"`
	Exhausted     uint64     `json:"exhausted"`
	OldestPending *time.Time `json:"oldest_pending"`
	LastSuccess   *time.Time `json:"last_success"`
	LastError     *string    `json:"last_error"`

	URL string `json:"url"` // masked; empty for an orphan
	// Order and Method are as configured, and empty for an orphan.
	Order  string `json:"order,omitempty"`
	Method string `json:"method,omitempty"`
	Orphan bool   `json:"orphan"` // not in the config, but deliveries are kept for it
	// Trouble is why the target needs somebody, in a word of package trouble; left out if it is well.
	Trouble        string     `json:"trouble,omitempty"`
	Session        string     `json:"session"`
	Where          string     `json:"where"`           // a program; empty: none
	Transform      string     `json:"transform"`       // a program; empty: none
	FailedJobsMax  int        `json:"failed_jobs_max"` // defect.after_failed_jobs
	DefectiveSince *time.Time `json:"defective_since"`
	LastFailure    *time.Time `json:"last_failure"`
	Delivered      uint64     `json:"delivered"`   // ever
	Quarantined    uint64     `json:"quarantined"` // ever
	InFlight       *int       `json:"in_flight"`   // null: the relay that serves it does not answer
	JobRunning     bool       `json:"job_running"`
	// LastJob is the last job since the start of the relay that serves it, or the one that runs; left
	// out if there was none.
	LastJob *tally.Job `json:"last_job,omitempty"`
	// JobAsked is in the answer of an order: the job that was asked for is the first with at least
	// this number; left out: nothing is pending that a job could try.
	JobAsked uint64 `json:"job_asked,omitempty"`
	// PausedSince and PausedBy are since when it is paused at run time, and who did that; left out if
	// it is not, or that is not known.
	PausedSince *time.Time `json:"paused_since,omitempty"`
	PausedBy    string     `json:"paused_by,omitempty"`

	// RateSuccess and RateFailed are attempts per second, means of the last 10 seconds.
	RateSuccess float64 `json:"rate_success"`
	RateFailed  float64 `json:"rate_failed"`
	// LatencyP50 and LatencyP99 are of the last attempts, 128 at most; nil: there was none.
	LatencyP50 *float64   `json:"latency_p50_seconds"`
	LatencyP99 *float64   `json:"latency_p99_seconds"`
	TLSExpiry  *time.Time `json:"tls_expiry"`  // of the certificate seen last; nil: none was
	LastStatus int        `json:"last_status"` // of the last attempt; 0: it had no answer
	// Relay is the one of several that serves it; empty: nobody for the moment, or there is only one.
	Relay string `json:"relay,omitempty"`
	// TicksOutlasted are those that the job which runs has outlasted; left out at 0.
	TicksOutlasted int64 `json:"ticks_outlasted,omitempty"`
	// Rate is the most requests that the target gets, as in the config; left out without a bound.
	Rate string `json:"rate,omitempty"`
	// EarlyRetries are the waits before the retries that come before the tick; left out without any.
	EarlyRetries []string `json:"early_retries,omitempty"`
	// MaxAttempts and EveryTicks are the target's own schedule; left out where it has none.
	MaxAttempts int `json:"max_attempts,omitempty"`
	// Expired are the deliveries that became too old, and are kept; left out at 0. Expire is when they
	// do, as in Go; left out where they do not.
	Expired uint64 `json:"expired,omitempty"`
	Expire  string `json:"expire,omitempty"`
	// GoneSince is when it was paused because it answered 410; left out if it was not.
	GoneSince *time.Time `json:"gone_since,omitempty"`
	// HTTP and Gone are as configured; left out where they are "1.1" and "retry".
	HTTP string `json:"http,omitempty"`
	Gone string `json:"gone,omitempty"`
	// RetryAfterMax is how long a Retry-After may hold it, as in Go; left out for an orphan.
	RetryAfterMax string `json:"retry_after_max,omitempty"`
	// HeldUntil is until when the target asked to be left alone (Retry-After); left out if it did not.
	HeldUntil  *time.Time `json:"held_until,omitempty"`
	EveryTicks int        `json:"every_ticks,omitempty"`
	// Proxy is the one through which it is reached, masked; empty: none.
	Proxy string `json:"proxy,omitempty"`
	// TokenURL is where its tokens come from, masked; empty: it wants none.
	TokenURL string `json:"token_url,omitempty"`
}

// TargetList is the answer of GET /v1/targets.
type TargetList struct {
	Targets []Target `json:"targets"`
}

// SampleQuery says what a sample is to be.
type SampleQuery struct {
	// Type is one that has a sample, or that the target's events match; empty: what the payload
	// names, and without one the first sample that the target's events match.
	Type string
	// ContentType is the payload's; empty: unknown.
	ContentType string
	// Payload is sent as it is, whatever its type; empty: the type's sample is. Valid during the call.
	Payload []byte
}

// Sample is the answer of POST /v1/targets/{name}/sample?type=….
type Sample struct {
	Target string `json:"target"`
	Type   string `json:"type"`
	ID     string `json:"id"`
	// MadeUp: the catalogue has no sample of the type, so the payload was made up.
	MadeUp       bool    `json:"made_up,omitempty"`
	Acknowledged bool    `json:"acknowledged"`
	Outcome      string  `json:"outcome"`     // as of an Attempt, or aborted
	Status       int     `json:"status"`      // 0: there was no answer
	StatusLine   string  `json:"status_line"` // as received
	Error        string  `json:"error"`
	Latency      float64 `json:"latency_seconds"`
	Remote       string  `json:"remote"`
	TLS          string  `json:"tls"`
	// Body is the first 1 KiB of the answer; bytes that are not UTF-8 are replaced.
	Body string `json:"body"`
	// Payload is what the target's transform was given, and Sent what it made of that. Both are
	// missing if it has none, and Sent if it failed.
	Payload string `json:"payload,omitempty"`
	Sent    string `json:"sent,omitempty"`
}
