package accept

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/hookspool/hookspool/spool"
)

const (
	// ndjson has other names; see mediaType.
	ndjson         = "application/x-ndjson"
	batchEventsMax = 10_000
	batchSizes     = 16 // a batch may hold this many times max_body_size
	linesToldMax   = 20
)

func tooManyEvents() *Refusal {
	return refuse(CodeTooLarge, "the batch holds more than %d events; send several", batchEventsMax)
}

// line is one element of a batch with its 1-based number: the line of NDJSON, the element of a
// CloudEvents array.
type line struct {
	number  int
	payload []byte
}

// splitNDJSON cuts a body at its newlines. Empty lines count but hold no event.
func splitNDJSON(body []byte) ([]line, *Refusal) {
	var out []line
	for number := 1; len(body) > 0; number++ {
		payload, rest, _ := bytes.Cut(body, []byte{'\n'})
		body = rest
		payload = bytes.TrimSuffix(payload, []byte{'\r'})
		if blank(payload) {
			continue
		}
		if out = append(out, line{number, payload}); len(out) > batchEventsMax {
			return nil, tooManyEvents()
		}
	}
	return out, nil
}

// blank reports that there is nothing but what JSON takes for white space (RFC 8259 §2).
func blank(b []byte) bool { return len(bytes.Trim(b, " \t\r\n")) == 0 }

// batchDrafts turns every line into a draft, or refuses them all and names the bad ones. An id in
// the head makes one for each line, so that sending the same batch again is safe.
func (p *post) batchDrafts(lines []line, ce bool) ([]*spool.Draft, *Refusal) {
	drafts := make([]*spool.Draft, 0, len(lines))
	var first *Refusal
	var bad []int
	for _, l := range lines {
		d, no := p.lineDraft(l, ce)
		if no != nil {
			if first == nil {
				first = no
			}
			bad = append(bad, l.number)
			continue
		}
		drafts = append(drafts, d)
	}
	if first == nil {
		return drafts, nil
	}
	return nil, batchRefusal(first, bad)
}

func (p *post) lineDraft(l line, ce bool) (*spool.Draft, *Refusal) {
	a := p.event
	a.payload = l.payload
	if n, most := int64(len(l.payload)), p.rules.Config.Server.MaxBodySize; n > most {
		return nil, refuse(CodeTooLarge, "it has %d bytes; server.max_body_size is %d", n, most)
	}
	if a.id != "" {
		a.id += "-" + strconv.Itoa(l.number)
	}
	if ce {
		if no := a.open(p.parser); no != nil {
			return nil, no
		}
	} else {
		a.contentType = "application/json"
		if _, ok := parseJSON(l.payload, p.parser); !ok {
			return nil, refuse(CodeMalformed, "it is not JSON")
		}
	}
	return a.draft(p.rules, p.parser)
}

// batchRefusal names the lines at fault; the reason is the first one's.
func batchRefusal(first *Refusal, bad []int) *Refusal {
	told := bad
	more := ""
	if len(told) > linesToldMax {
		told = told[:linesToldMax]
		more = fmt.Sprintf(" and %d more", len(bad)-len(told))
	}
	r := refuse(first.Code, "nothing of the batch was accepted; line %d: %s (lines at fault: %v%s)",
		bad[0], first.Detail, told, more)
	r.Lines = bad
	return r
}

func cut(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}
