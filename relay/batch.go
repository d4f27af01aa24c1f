package relay

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/valyala/fastjson"

	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/spool"
)

const (
	// ndjson has other names; see mediaType.
	ndjson         = "application/x-ndjson"
	batchEventsMax = 10_000
	batchSizes     = 16 // a batch may hold this many times max_body_size
	linesToldMax   = 20
)

func tooManyEvents() *refusal {
	return refuse(codeTooLarge, "the batch holds more than %d events; send several", batchEventsMax)
}

// line is one element of a batch with its 1-based number: the line of NDJSON, the element of a
// CloudEvents array.
type line struct {
	number  int
	payload []byte
}

// splitNDJSON cuts a body at its newlines. Empty lines count but hold no event.
func splitNDJSON(body []byte) ([]line, *refusal) {
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

// batchDrafts turns every line into a draft, or refuses them all and names the bad ones. base is
// what the headers said; an id in it makes one for each line, so that sending the same batch again
// is safe.
func batchDrafts(cfg *config.Config, base arrival, lines []line, ce bool, p *fastjson.Parser,
) ([]*spool.Draft, *refusal) {
	drafts := make([]*spool.Draft, 0, len(lines))
	var first *refusal
	var bad []int
	for _, l := range lines {
		d, r := lineDraft(cfg, base, l, ce, p)
		if r != nil {
			if first == nil {
				first = r
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

func lineDraft(cfg *config.Config, a arrival, l line, ce bool, p *fastjson.Parser,
) (*spool.Draft, *refusal) {
	a.payload = l.payload
	if n := int64(len(l.payload)); n > cfg.Server.MaxBodySize {
		return nil, refuse(codeTooLarge, "it has %d bytes; server.max_body_size is %d", n,
			cfg.Server.MaxBodySize)
	}
	if a.id != "" {
		a.id += "-" + strconv.Itoa(l.number)
	}
	if ce {
		a.contentType = ceStructured
		if r := readStructuredCE(&a, p); r != nil {
			return nil, r
		}
	} else {
		a.contentType = "application/json"
		if _, ok := parseJSON(l.payload, p); !ok {
			return nil, refuse(codeMalformed, "it is not JSON")
		}
	}
	return a.draft(cfg, p)
}

// batchRefusal names the lines at fault; the reason is the first one's.
func batchRefusal(first *refusal, bad []int) *refusal {
	told := bad
	more := ""
	if len(told) > linesToldMax {
		told = told[:linesToldMax]
		more = fmt.Sprintf(" and %d more", len(bad)-len(told))
	}
	r := refuse(first.code, "nothing of the batch was accepted; line %d: %s (lines at fault: %v%s)",
		bad[0], first.detail, told, more)
	r.lines = bad
	return r
}

func cut(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}
