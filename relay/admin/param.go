package admin

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hookspool/hookspool/relay/moment"
	"github.com/hookspool/hookspool/relay/sieve"
)

// query is what stands after the path, as forms write it. What is not written so, a semicolon or a
// percent sign that is one, stands for itself: net/url would drop it.
func (c *call) query() url.Values {
	if c.params == nil {
		c.params = readQuery(c.r.URL.RawQuery)
	}
	return c.params
}

func readQuery(raw string) url.Values {
	values := url.Values{}
	for pair := range strings.SplitSeq(raw, "&") {
		if pair != "" {
			key, value, _ := strings.Cut(pair, "=")
			values.Add(unescape(key), unescape(value))
		}
	}
	return values
}

func unescape(text string) string {
	if plain, err := url.QueryUnescape(text); err == nil {
		return plain
	}
	return text
}

// params reads the parameters of a call. The first fault stays in err, so that a call looks once,
// at the end.
type params struct {
	args url.Values
	err  error
}

func paramsOf(c *call) *params { return &params{args: c.query()} }

func (p *params) text(name string) string { return p.args.Get(name) }

func (p *params) fault(format string, args ...any) {
	if p.err == nil {
		p.err = Refuse(http.StatusBadRequest, codeMalformed, format, args...)
	}
}

// oneOf is a word; words[0] stands for an absent one.
func (p *params) oneOf(name string, words ...string) string {
	text := p.text(name)
	if text == "" {
		return words[0]
	}
	if !slices.Contains(words, text) {
		known := slices.DeleteFunc(slices.Clone(words), func(w string) bool { return w == "" })
		p.fault("%s is %q; it is %s", name, shorten(text), strings.Join(known, " or "))
	}
	return text
}

func (p *params) flag(name string) bool {
	text := p.text(name)
	if text == "" {
		return false
	}
	yes, err := strconv.ParseBool(text)
	if err != nil {
		p.fault("%s is %q; it is true or false", name, shorten(text))
	}
	return yes
}

func (p *params) limit() int {
	text := p.text("limit")
	if text == "" {
		return pageDefault
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > pageMax {
		p.fault("limit is %q; it is a number from 1 to %d", shorten(text), pageMax)
	}
	return n
}

func (p *params) page() Page { return Page{Limit: p.limit(), After: p.text("after")} }

// choice is what narrows a walk, and an id that is to be the only one: an id that ends in * says
// how ids begin.
func (p *params) choice() (c sieve.Choice, id string) {
	c = sieve.Choice{Where: p.args["where"], Conversation: p.text("conversation"),
		Session: p.text("session"), Status: p.text("status"), Error: p.text("error"),
		Failure: p.text("failure")}
	id = p.text("id")
	if prefix, is := strings.CutSuffix(id, "*"); is {
		c.IDPrefix, id = prefix, ""
	}
	if err := sieve.Check(&c); err != nil && p.err == nil {
		refusal := Refuse(http.StatusBadRequest, codeMalformed, "%v", err)
		if fault, is := errors.AsType[*sieve.Fault](err); is && fault.Param == "where" {
			refusal.Hint = sieve.WhereHint
		}
		p.err = refusal
	}
	return c, id
}

// window reads since and until. What names no zone is in UTC here.
func (p *params) window() Window {
	from, to, err := moment.Window(p.text("since"), p.text("until"), time.Now().UTC())
	if wrong, is := errors.AsType[*moment.Error](err); is && p.err == nil {
		p.fault("%s is %q, which is no instant", wrong.What, shorten(wrong.Text))
		p.err.(*Error).Hint = moment.Forms + "; what has no zone is in UTC"
	}
	w := Window{Since: from, Until: to}
	if p.err == nil && !w.Since.IsZero() && !w.Until.IsZero() && w.Until.Before(w.Since) {
		p.fault("until is before since, so that nothing can be between them")
	}
	return w
}
