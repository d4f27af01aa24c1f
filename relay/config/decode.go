package config

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// decoder turns the values of one file into a Config and collects every fault on the way.
type decoder struct {
	rows     []row // the whole schema, to say where a misplaced key belongs
	places   *places
	faults   []Fault
	bad      map[string]bool // paths at or below which there is a fault
	getenv   func(string) (string, bool)
	readFile func(string) ([]byte, error)
}

// row is one key of the file and what to do with the value found there. A row with rows of its own
// is a table, and needs no setter.
type row struct {
	name  string
	set   setter
	rows  []row
	named []row // the keys of tables below whose names are free: for looking up, not for decoding
}

// setter checks the value found at a path and stores it, or reports faults and stores nothing: a
// field keeps its default then, so that the cross checks do not complain of what was not said.
type setter func(d *decoder, at keyPath, raw any)

// Parse decodes the text of a config file. path is only used for messages; getenv and readFile
// resolve "env:NAME" and "file:/path", and readFile reads the certificates that are named, so that
// a config which passes is one that can be started with. The error is always a *Faults.
func Parse(path string, text []byte, getenv func(string) (string, bool),
	readFile func(string) ([]byte, error),
) (*Config, error) {
	if len(text) > configBytesMax {
		return nil, newFaults(path, []Fault{{1, 1, "", "is larger than " + sizeText(configBytesMax),
			"a config is rarely larger than 100KiB: is this the right file?"}})
	}
	body := strings.TrimPrefix(string(text), "\xef\xbb\xbf") // some editors begin with a BOM
	found, fault := scanPlaces(body)
	if fault != nil {
		return nil, newFaults(path, []Fault{*fault})
	}
	values, fault := decodeTOML(body)
	if fault != nil {
		return nil, newFaults(path, []Fault{*fault})
	}
	c := Default()
	c.Path = path
	setEngineDefaults(&c, values)
	rows := schema(&c)
	d := &decoder{
		rows: rows, places: found, bad: map[string]bool{},
		getenv: getenv, readFile: readFile,
	}
	d.table(nil, values, rows)
	slices.SortFunc(c.Targets, func(a, b Target) int { return strings.Compare(a.Name, b.Name) })
	d.check(&c)
	if len(d.faults) > 0 {
		return nil, newFaults(path, d.faults)
	}
	return &c, nil
}

// setEngineDefaults sets the defaults that the engine decides, before the file is decoded.
func setEngineDefaults(c *Config, values map[string]any) {
	spool, _ := values["spool"].(map[string]any)
	if spool["engine"] == EngineJetStream {
		c.Event.DedupeWindow = dedupeShared
	}
}

// table decodes a table by its rows.
func (d *decoder) table(at keyPath, raw any, rows []row) {
	values, ok := raw.(map[string]any)
	if !ok {
		d.wrongType(at, raw, "a table", fmt.Sprintf("write [%s] on a line of its own", at))
		return
	}
	for name, value := range values {
		i := slices.IndexFunc(rows, func(r row) bool { return r.name == name })
		switch {
		case i < 0:
			d.unknown(at.key(name), value, rows)
		case rows[i].rows != nil:
			d.table(at.key(name), value, rows[i].rows)
		default:
			rows[i].set(d, at.key(name), value)
		}
	}
}

// fault reports what is wrong at a path, without ever being given the value of a secret.
func (d *decoder) fault(at keyPath, p problem) {
	for n := 1; n <= len(at); n++ {
		d.bad[strings.Join(at[:n], "\x00")] = true
	}
	d.note(at, p)
}

// note reports a fault that leaves the value as sound as it was.
func (d *decoder) note(at keyPath, p problem) {
	where := d.places.find(at)
	d.faults = append(d.faults, Fault{where.line, where.column, at.String(), p.message, p.hint})
}

// faultInside is fault at an offset of the string that is the value at a path.
func (d *decoder) faultInside(at keyPath, offset int, p problem) {
	d.fault(at, p)
	f, where := &d.faults[len(d.faults)-1], d.places.inside(at, offset)
	f.Line, f.Column = where.line, where.column
}

// sound reports whether there is no fault yet at or below the path.
func (d *decoder) sound(path ...string) bool { return !d.bad[strings.Join(path, "\x00")] }

// wrongType reports a value of another type than wanted.
func (d *decoder) wrongType(at keyPath, raw any, want, hint string) {
	d.fault(at, problem{fmt.Sprintf("must be %s, not %s", want, typeName(raw)), hint})
}

// typeName names the type of a value as toml.Decode returns it.
func typeName(raw any) string {
	switch raw.(type) {
	case string:
		return "a string"
	case int64:
		return "an integer"
	case float64:
		return "a float"
	case bool:
		return "a boolean"
	case time.Time:
		return "a date or time"
	case []map[string]any:
		return "an array of tables"
	case []any:
		return "a list"
	}
	return "a table"
}

// unknown reports a key or table that no row knows.
func (d *decoder) unknown(at keyPath, raw any, rows []row) {
	what := "key"
	if t := typeName(raw); t == "a table" || t == "an array of tables" {
		what = "table"
	}
	name := at[len(at)-1]
	known := make([]string, len(rows))
	for i, r := range rows {
		known[i] = r.name
	}
	hint := "known here: " + strings.Join(known, ", ")
	if best, ok := nearest(name, known); ok {
		hint = fmt.Sprintf("did you mean %q?", best)
	}
	if home, ok := homeOf(name, d.rows); ok {
		hint = fmt.Sprintf("%s belongs in [%s]", name, home)
		if home == "" {
			hint = fmt.Sprintf("[%s] stands at the top, not inside another table", name)
		}
	}
	d.fault(at, problem{"unknown " + what, hint})
}

// homeOf finds the table that knows a key of this name: that of a target, which is mostly meant, or
// the first in the order of the schema.
func homeOf(name string, rows []row) (home string, ok bool) {
	for _, r := range rows {
		if r.name == name {
			return "", true
		}
	}
	for _, r := range rows {
		if below, ok := homeOf(name, r.named); ok {
			return strings.TrimSuffix(r.name+".NAME."+below, "."), true
		}
	}
	for _, r := range rows {
		if below, ok := homeOf(name, r.rows); ok {
			return strings.TrimSuffix(r.name+"."+below, "."), true
		}
	}
	return "", false
}

// keyNames lists every key the decoder knows, dotted, in the order of the schema. A target's keys
// stand under target.NAME.
func keyNames(prefix string, rows []row) []string {
	var names []string
	for _, r := range rows {
		switch {
		case r.rows != nil:
			names = append(names, keyNames(prefix+r.name+".", r.rows)...)
		case r.named != nil:
			names = append(names, keyNames(prefix+r.name+".NAME.", r.named)...)
		default:
			names = append(names, prefix+r.name)
		}
	}
	return names
}
