// Package tally is what a target's last job came to: how many deliveries it tried, what came back,
// and why it ended. Whoever asks for a job waits for that, and the log of actions keeps it.
package tally

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Why a job ended.
const (
	Done        = "done"        // everything that was due had its turn
	Unreachable = "unreachable" // retry.stop_job_after connection failures in a row
	Held        = "held"        // the target is paused, or asked to be left alone, meanwhile
	Moved       = "moved"       // another relay serves the target
	Stopping    = "stopping"    // the relay stops
	Unread      = "unread"      // the spool could not be read
)

// Expired is the outcome of a delivery that was too old to be tried.
const Expired = "expired"

// outcomesMax bounds the outcomes that are told apart; the rest is counted together, as other.
const outcomesMax = 16

// askersMax bounds who is told of a job's end. One more is not told; the job is run all the same.
const askersMax = 256

// Outcome is how many attempts of a job ended alike.
type Outcome struct {
	Outcome string `json:"outcome"` // as of an attempt, or other
	Status  int    `json:"status"`  // 0: there was no answer
	Count   int    `json:"count"`
}

// Job is one job, as far as it got.
type Job struct {
	// Number grows from job to job. Whoever was told that job 7 was asked for waits for one that has
	// at least this number: if one ran already, what was asked for comes after it.
	Number    uint64     `json:"number"`
	StartedAt time.Time  `json:"started_at"`
	EndedAt   *time.Time `json:"ended_at"` // null: it runs
	// Due is how many deliveries there were to try, Tried how many were, Acknowledged how many of
	// those succeeded, Left how many were left for the next tick.
	Due          int       `json:"due"`
	Tried        int       `json:"tried"`
	Acknowledged int       `json:"acknowledged"`
	Left         int       `json:"left"`
	Outcomes     []Outcome `json:"outcomes"`
	// WhyEnded is done, unreachable, held, moved, stopping or unread; empty: it runs.
	WhyEnded string `json:"why_ended"`
	// InARow is how many connection failures in a row ended it; 0: they did not.
	InARow int `json:"in_a_row,omitempty"`
	// Status is the target's at the end; Summary is all of this in words.
	Status  string `json:"status"`
	Summary string `json:"summary"`
}

// Board is where the job of one target is told from. The zero value is that of one that had none.
// It is safe for concurrent use.
type Board struct {
	mu     sync.Mutex // guards below
	job    *Job       // the last one; nil: there was none
	asked  uint64     // the highest number that somebody waits for
	askers []asker
}

type asker struct {
	number uint64
	tell   func(*Job)
}

// Begin begins a job.
func (b *Board) Begin(number uint64, at time.Time, due int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.job = &Job{Number: number, StartedAt: at.UTC(), Due: due, Outcomes: []Outcome{}}
}

// Note counts what became of a delivery. made: a request was made for it.
func (b *Board) Note(outcome string, status int, made, acknowledged bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	j := b.job
	if j == nil || j.EndedAt != nil {
		return
	}
	if made {
		j.Tried++
	}
	if acknowledged {
		j.Acknowledged++
	}
	same := func(o Outcome) bool { return o.Outcome == outcome && o.Status == status }
	i := slices.IndexFunc(j.Outcomes, same)
	if i < 0 && len(j.Outcomes) >= outcomesMax-1 {
		outcome, status = "other", 0
		i = slices.IndexFunc(j.Outcomes, same)
	}
	if i < 0 {
		i = len(j.Outcomes)
		j.Outcomes = append(j.Outcomes, Outcome{Outcome: outcome, Status: status})
	}
	j.Outcomes[i].Count++
}

// End is how a job ended.
type End struct {
	At     time.Time
	Why    string
	InARow int
	Status string
}

// End ends the job.
func (b *Board) End(e End) {
	b.mu.Lock()
	defer b.mu.Unlock()
	j := b.job
	if j == nil || j.EndedAt != nil {
		return
	}
	at := e.At.UTC()
	j.EndedAt, j.WhyEnded, j.Status = &at, e.Why, e.Status
	if e.Why == Unreachable {
		j.InARow = e.InARow
	}
	j.Left = j.Due - j.Tried
	for _, o := range j.Outcomes {
		if o.Outcome == Expired {
			j.Left -= o.Count
		}
	}
	if j.Left = max(0, j.Left); j.Left == 0 {
		j.WhyEnded, j.InARow = Done, 0
	}
}

// Ask has somebody told of the end of the job that has a number, or of the one after it. The
// function is called by whoever calls Tell.
func (b *Board) Ask(number uint64, tell func(*Job)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked = max(b.asked, number)
	if len(b.askers) < askersMax {
		b.askers = append(b.askers, asker{number, tell})
	}
}

// Withdraw ends an Ask for which there is no job.
func (b *Board) Withdraw(number uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.askers = slices.DeleteFunc(b.askers, func(a asker) bool { return a.number == number })
	b.asked = 0
	for _, a := range b.askers {
		b.asked = max(b.asked, a.number)
	}
}

// Asked is the highest number that somebody waits for.
func (b *Board) Asked() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.asked
}

// Tell tells of the end of the last job whoever waits for it. It stands for all that were asked for
// up to a number, because no other one follows it; 0: for itself.
func (b *Board) Tell(upTo uint64) {
	b.mu.Lock()
	if b.job == nil || b.job.EndedAt == nil {
		b.mu.Unlock()
		return
	}
	b.job.Number = max(b.job.Number, upTo)
	number := b.job.Number
	var told []asker
	b.askers = slices.DeleteFunc(b.askers, func(a asker) bool {
		if a.number <= number {
			told = append(told, a)
		}
		return a.number <= number
	})
	b.mu.Unlock()
	j := b.Last()
	for _, a := range told {
		a.tell(j)
	}
}

// Last is the last job as of now; nil: there was none.
func (b *Board) Last() *Job {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.job == nil {
		return nil
	}
	j := *b.job
	j.Outcomes = slices.Clone(j.Outcomes)
	slices.SortStableFunc(j.Outcomes, func(a, b Outcome) int { return cmp.Compare(b.Count, a.Count) })
	j.Summary = j.words()
	return &j
}

// words are "336 tried, 0 acknowledged (503 × 336); still Defective".
func (j *Job) words() string {
	text := fmt.Sprintf("%d tried, %d acknowledged", j.Tried, j.Acknowledged)
	var parts []string
	for _, o := range j.Outcomes {
		if o.Outcome == "success" && j.Acknowledged == j.Tried {
			continue
		}
		name := o.Outcome
		if o.Status > 0 {
			name = strconv.Itoa(o.Status)
		}
		parts = append(parts, fmt.Sprintf("%s × %d", name, o.Count))
	}
	if len(parts) > 0 {
		text += " (" + strings.Join(parts, ", ") + ")"
	}
	if j.EndedAt == nil {
		return text
	}
	return text + j.endWords() + j.statusWords()
}

// endWords say why the job was over before everything had its turn.
func (j *Job) endWords() string {
	text := ""
	switch j.WhyEnded {
	case Unreachable:
		text = fmt.Sprintf("; %d connection failures in a row ended it", j.InARow)
	case Held:
		text = "; the target was paused or asked to be left alone, which ended it"
	case Moved:
		text = "; another relay serves the target now, which ended it"
	case Stopping:
		text = "; the relay stopped"
	case Unread:
		text = "; the spool could not be read, which ended it"
	}
	if j.Left == 0 {
		return text
	}
	verb := "were"
	if j.Left == 1 {
		verb = "was"
	}
	return text + fmt.Sprintf("; %d %s left for the next tick", j.Left, verb)
}

func (j *Job) statusWords() string {
	switch {
	case j.Status == "":
		return ""
	case j.Acknowledged == 0 && j.WhyEnded != Held:
		return "; still " + j.Status
	}
	return "; " + j.Status
}
