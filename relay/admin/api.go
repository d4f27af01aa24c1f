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
	// Sample triggers a sample callback and waits for it. Any type that an event can have will do;
	// an empty one: the first sample that the target's events match. It touches no counter, standing
	// or spool.
	Sample(ctx context.Context, name, typ string) (Sample, error)
	// Enable lifts a defect and runs a job now.
	Enable(name string) error
	// Retry runs a job now and changes no state; one that is running goes on.
	Retry(name string) error
	// Pause holds a target, Resume releases it.
	Pause(name string) error
	Resume(name string) error
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
	Finder
	Replayer
	Explainer
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

	URL            string     `json:"url"`    // masked; empty for an orphan
	Orphan         bool       `json:"orphan"` // not in the config, but deliveries are kept for it
	Session        string     `json:"session"`
	FailedJobsMax  int        `json:"failed_jobs_max"` // defect.after_failed_jobs
	DefectiveSince *time.Time `json:"defective_since"`
	LastFailure    *time.Time `json:"last_failure"`
	Delivered      uint64     `json:"delivered"`   // ever
	Quarantined    uint64     `json:"quarantined"` // ever
	InFlight       int        `json:"in_flight"`
	JobRunning     bool       `json:"job_running"`

	// RateSuccess and RateFailed are attempts per second, means of the last 10 seconds.
	RateSuccess float64 `json:"rate_success"`
	RateFailed  float64 `json:"rate_failed"`
	// LatencyP50 and LatencyP99 are of the last attempts, 128 at most; nil: there was none.
	LatencyP50 *float64   `json:"latency_p50_seconds"`
	LatencyP99 *float64   `json:"latency_p99_seconds"`
	TLSExpiry  *time.Time `json:"tls_expiry"`  // of the certificate seen last; nil: none was
	LastStatus int        `json:"last_status"` // of the last attempt; 0: it had no answer
}

// TargetList is the answer of GET /v1/targets.
type TargetList struct {
	Targets []Target `json:"targets"`
}

// Sample is the answer of POST /v1/targets/{name}/sample?type=….
type Sample struct {
	Target       string  `json:"target"`
	Type         string  `json:"type"`
	ID           string  `json:"id"`
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
}
