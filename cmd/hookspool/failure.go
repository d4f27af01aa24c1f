package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The codes of failures that no relay has a code for.
const (
	codeFailed      = "failed"
	codeUsage       = "usage"
	codeUnreachable = "unreachable"
	codeOlder       = "older_relay"
)

// failureJSON is a failure under --json: one line on stderr, the last one there.
type failureJSON struct {
	Error string `json:"error"`
	Hint  string `json:"hint,omitempty"`
	// Code is that of the relay's refusal, else usage, unreachable, older_relay or failed.
	Code string `json:"code"`
	// Exit is the exit code.
	Exit int `json:"exit"`
	// Details are the faults of a config, or the lines of a batch.
	Details []string `json:"details,omitempty"`
}

// failureLine is a failure as one line of JSON.
func failureLine(f *failure) string {
	out := failureJSON{Error: f.err.Error(), Hint: f.hint, Code: f.reason, Exit: f.code,
		Details: f.detail}
	var u *unreachable
	var within *failure
	if out.Code == "" && errors.As(f.err, &within) {
		out.Code = within.reason // one that says how to go on is around it
	}
	switch {
	case out.Code != "":
	case f.code == exitUsage:
		out.Code = codeUsage
	case errors.As(f.err, &u):
		out.Code = codeUnreachable
	default:
		out.Code = codeFailed
	}
	text, err := json.Marshal(out)
	if err != nil {
		panic("BUG: a failure cannot be encoded: " + err.Error())
	}
	return string(text)
}

// asksJSON looks for --json in a command line that could not be read to its end.
func asksJSON(args []string) bool {
	if end := slices.Index(args, "--"); end >= 0 {
		args = args[:end]
	}
	return slices.Contains(args, "--json") || slices.Contains(args, "--json=true")
}

// misusedFlag says what is wrong with a flag, in our words and not in those of package strconv.
func misusedFlag(cmd *cobra.Command, err error) error {
	help := cmd.CommandPath() + " --help"
	var value *pflag.InvalidValueError
	if !errors.As(err, &value) {
		return misuse(help, "%w", err)
	}
	is := fmt.Sprintf("--%s is %q", value.GetFlag().Name, value.GetValue())
	switch kind := value.GetFlag().Value.Type(); kind {
	case "int", "int64", "uint64", "float64":
		return misuse("write it in digits; "+help, "%s, which is no number", is)
	case "duration":
		return misuse("write it like 200ms, 30s, 5m or 1h30m; "+help, "%s, which is no duration", is)
	case "bool":
		return misuse("write the flag alone, or =true or =false after it; "+help,
			"%s, which is neither true nor false", is)
	}
	return misuse(help, "%s: %w", is, value.Unwrap())
}
