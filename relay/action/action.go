// Package action is what an operator did: who, what, to which target, with what result. It knows
// how an action is written and who is believed; package book keeps them.
package action

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Header is where a caller says who it is: "ann@host". It is a claim, which anybody can make who
// may call at all.
const Header = "X-Hookspool-User"

const (
	// nameBytesMax bounds who a caller says it is, filterBytesMax and resultBytesMax what is kept of
	// the rest.
	nameBytesMax   = 128
	filterBytesMax = 512
	resultBytesMax = 512
)

// How it is known who an operator is.
const (
	// Socket: the system told the user at the other end of a unix socket.
	Socket = "socket"
	// Claimed: the caller said so.
	Claimed = "claimed"
)

// Who is who did something.
type Who struct {
	// By is a name as a person is told it; empty: nobody gave one.
	By string `json:"by"`
	// How says how that is known: socket or claimed; empty: it is not.
	How string `json:"how"`
	// Token: the call carried the admin token.
	Token bool `json:"token"`
	// Remote is the address the call came from, without a port, or unix.
	Remote string `json:"remote"`
}

// String names who it was, if only by the address.
func (w *Who) String() string { return cmp.Or(w.By, w.Remote, "somebody") }

// Action is one thing that an operator did. The calls of one long replay, purge or import are one.
type Action struct {
	// Run names it; calls that give it go on with it.
	Run     string     `json:"run"`
	At      time.Time  `json:"at"`
	EndedAt *time.Time `json:"ended_at"` // null: it goes on, or was left
	// Verb is one of Verbs.
	Verb   string `json:"verb"`
	Target string `json:"target"` // empty: it is about none, or several
	Filter string `json:"filter"` // what it was narrowed down by: state=exhausted type=message
	Count  uint64 `json:"count"`  // deliveries, or events of an import, or bytes of a backup
	Result string `json:"result"`
	Who
	// Relay is the one of several that took the order; empty: there is only one.
	Relay string `json:"relay,omitempty"`
	// Imported: it came with an export, and is what that says.
	Imported bool `json:"imported,omitempty"`
}

// Verbs are what an action may be.
func Verbs() []string {
	return []string{"sample", "enable", "retry", "pause", "resume", "replay", "purge", "forget",
		"reload", "import", "backup"}
}

// runBytes is an instant and a random number.
const runBytes = 16

// NewRun names an action that begins at an instant.
func NewRun(at time.Time) string {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, runBytes), uint64(at.UnixNano()))
	random := make([]byte, 8)
	_, _ = rand.Read(random) // never fails
	return hex.EncodeToString(append(b, random...))
}

// ReadRun is when an action began, and its number; false: it is no name of one.
func ReadRun(run string) (at time.Time, number uint64, ok bool) {
	b, err := hex.DecodeString(run)
	if err != nil || len(b) != runBytes || b[0] >= 1<<7 {
		return time.Time{}, 0, false
	}
	return time.Unix(0, int64(binary.BigEndian.Uint64(b))), binary.BigEndian.Uint64(b[8:]), true
}

// Name cleans what a caller says it is called: one line of printable text.
func Name(claimed string) string {
	return cut(strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.TrimSpace(claimed)), nameBytesMax)
}

// Filter is what a call was narrowed down by: its parameters, but for those named.
func Filter(values url.Values, but ...string) string {
	var parts []string
	for key := range values {
		value := values.Get(key)
		if value == "" || slices.Contains(but, key) {
			continue
		}
		if strings.ContainsFunc(value, func(r rune) bool {
			return !unicode.IsPrint(r) || r == ' ' || r == '"'
		}) {
			value = strconv.Quote(value)
		}
		parts = append(parts, key+"="+value)
	}
	slices.Sort(parts)
	return cut(strings.Join(parts, " "), filterBytesMax)
}

// Bound cuts what is too long to be kept.
func (a *Action) Bound() {
	a.Result = cut(a.Result, resultBytesMax)
	a.Filter = cut(a.Filter, filterBytesMax)
	a.By = cut(a.By, nameBytesMax)
}

func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most] + "…"
}
