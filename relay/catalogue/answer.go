package catalogue

import (
	"cmp"
	"slices"

	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/relay/sample"
)

// The codes of a refusal (CONTRACT §4), and what an explanation says of who refused an event.
const (
	codeNotFound  = "not_found"
	codeMalformed = "malformed"
	byWhere       = "where"
	bySession     = "session"
)

// Answer is the catalogue as the admin API has it, by the rules of a config.
func Answer(cfg *config.Config) []admin.EventType {
	list := List(&cfg.Session)
	out := make([]admin.EventType, len(list))
	for i := range list {
		out[i] = eventType(cfg, &list[i])
	}
	return out
}

func eventType(cfg *config.Config, e *Entry) admin.EventType {
	out := admin.EventType{Type: e.Type, When: e.When, Side: e.Side, Session: e.Effect}
	for i := range cfg.Targets {
		if Matches(cfg.Targets[i].Events, e.Type) {
			out.WantedBy++
		}
	}
	return out
}

// Detail is one type of the catalogue; explain says what would become of its sample. Errors are
// *admin.Error when there is no such type.
func Detail(cfg *config.Config, typ string,
	explain func(admin.ExplainQuery) (admin.Explanation, error)) (admin.TypeDetail, error) {
	e, ok := Find(&cfg.Session, typ)
	if !ok {
		return admin.TypeDetail{}, Unknown(typ)
	}
	payload, _ := sample.Payload(typ)
	out := admin.TypeDetail{EventType: eventType(cfg, &e), Payload: string(payload)}
	for _, f := range Fields(payload) {
		out.Fields = append(out.Fields, admin.TypeField(f))
	}
	x, err := explain(admin.ExplainQuery{Sample: typ})
	if err != nil {
		return out, err
	}
	for i := range x.Targets {
		out.Targets = append(out.Targets, typeTarget(cfg, &x.Targets[i]))
	}
	slices.SortStableFunc(out.Targets, func(a, b admin.TypeTarget) int {
		return cmp.Compare(wantedFirst(a), wantedFirst(b))
	})
	return out, nil
}

func wantedFirst(t admin.TypeTarget) int {
	if t.Wanted {
		return 0
	}
	return 1
}

// typeTarget says of a target what an explanation of the sample says of the type. The session of
// the sample's conversation says nothing of others.
func typeTarget(cfg *config.Config, x *admin.ExplainedTarget) admin.TypeTarget {
	out := admin.TypeTarget{Target: x.Target, Status: x.Status, Wanted: x.RefusedBy == "",
		Note: x.Note}
	switch x.RefusedBy {
	case "":
		if out.Note = x.Pattern + " matches"; x.Note != "" {
			out.Note += "; " + x.Note
		}
	case byWhere:
		out.Note = x.Pattern + " matches; its where does not hold for the sample"
	case bySession:
		out.Wanted = true
	}
	for i := range cfg.Targets {
		if t := &cfg.Targets[i]; t.Name == x.Target && t.Session != "any" &&
			out.Wanted {
			out.Note = x.Pattern + " matches; only of a session that is " + t.Session
		}
	}
	return out
}

// Unknown refuses a type that is not in the catalogue.
func Unknown(typ string) *admin.Error {
	e := admin.Refuse(404, codeNotFound, "there is no event type %.256q in the catalogue", typ)
	e.Hint = NearHint(typ) + "hookspool types lists them"
	return e
}

// NearHint begins a hint with the type that was probably meant.
func NearHint(typ string) string {
	if near := Near(typ); near != "" {
		return "did you mean " + near + "? "
	}
	return ""
}

// Sampled is a query with the payload that its sample names.
func Sampled(q admin.ExplainQuery) (admin.ExplainQuery, error) {
	if q.Sample == "" {
		return q, nil
	}
	payload, ok := sample.Payload(q.Sample)
	switch {
	case !ok:
		return q, Unknown(q.Sample)
	case len(q.Payload) > 0:
		return q, admin.Refuse(400, codeMalformed, "a sample is explained without a body")
	}
	q.Payload, q.ContentType = payload, "application/json"
	q.Type = cmp.Or(q.Type, q.Sample)
	return q, nil
}
