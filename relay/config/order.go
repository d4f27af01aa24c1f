package config

import (
	"fmt"
	"strings"

	"github.com/hookspool/hookspool/relay/jq"
)

// Order says which deliveries are attempted one after the other. The zero value: none wait for
// another.
type Order struct {
	All bool   // all of the target's
	By  string // those of which this program gives the same value; empty: no program
}

// String is the order as it is configured.
func (o Order) String() string {
	switch {
	case o.All:
		return "all"
	case o.By != "":
		return orderBy + o.By
	}
	return "none"
}

func checkProgram(text string) problem {
	if _, err := jq.Compile(text); err != nil {
		return problem{err.Error(), ""}
	}
	return problem{}
}

// orderBy begins an order that goes by a program.
const orderBy = "by "

// order takes "none", "all" or "by PROGRAM".
func order(to *Order) setter {
	const hint = `write "none", "all" or "by " and where the key is in the payload, such as "by .waId"`
	return func(d *decoder, at keyPath, raw any) {
		word := ""
		text(&word, func(s string) problem {
			by, is := strings.CutPrefix(s, orderBy)
			switch by = strings.TrimSpace(by); {
			case s == "none" || s == "all":
				return problem{}
			case is && by != "":
				return checkProgram(by)
			}
			return problem{fmt.Sprintf("%.100q is no order", s), hint}
		})(d, at, raw)
		by, _ := strings.CutPrefix(word, orderBy)
		if word == "" || word == "none" {
			return
		}
		if *to = (Order{All: word == "all"}); !to.All {
			to.By = strings.TrimSpace(by)
		}
	}
}
