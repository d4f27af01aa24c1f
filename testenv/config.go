package testenv

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Config is the config file of a relay under test: keys by their dotted names.
type Config struct {
	values map[string]string // dotted key → TOML value
}

// NewConfig has events on a free port of loopback, no tick within a scenario's life and no reload
// by itself, so that a scenario sees only what it asks for. Relay adds admin_listen and the spool.
func NewConfig() *Config {
	c := &Config{values: map[string]string{}}
	return c.Set("server.listen", []string{"127.0.0.1:0"}).
		Set("server.reload_check", "0s").
		Set("server.drain_timeout", "10s").
		Set("retry.interval", "1h").
		Set("log.level", "debug")
}

// Set gives a key a value: a string, number, bool, list or map of strings.
func (c *Config) Set(key string, value any) *Config {
	c.values[key] = tomlValue(value)
	return c
}

// Target adds a target that wants all events, or what settings say: pairs of key and value.
func (c *Config) Target(name, url string, settings ...any) *Config {
	at := "target." + name + "."
	c.Set(at+"url", url).Set(at+"events", []string{"*"})
	for i := 0; i+1 < len(settings); i += 2 {
		c.Set(at+settings[i].(string), settings[i+1])
	}
	return c
}

// Remove takes keys out: one, or a whole table and what is below it.
func (c *Config) Remove(key string) *Config {
	maps.DeleteFunc(c.values, func(k, _ string) bool {
		return k == key || strings.HasPrefix(k, key+".")
	})
	return c
}

// Clone is an independent copy.
func (c *Config) Clone() *Config { return &Config{values: maps.Clone(c.values)} }

// Text returns a string value of the config, or "".
func (c *Config) Text(key string) string {
	var s string
	_ = json.Unmarshal([]byte(c.values[key]), &s)
	return s
}

// String is the file.
func (c *Config) String() string {
	tables := map[string][]string{}
	for key, value := range c.values {
		at := strings.LastIndexByte(key, '.')
		tables[key[:at]] = append(tables[key[:at]], key[at+1:]+" = "+value)
	}
	var b strings.Builder
	for _, table := range slices.Sorted(maps.Keys(tables)) {
		fmt.Fprintf(&b, "[%s]\n", table)
		lines := tables[table]
		slices.Sort(lines)
		b.WriteString(strings.Join(lines, "\n") + "\n\n")
	}
	return b.String()
}

// tomlValue uses that strings, numbers, bools and lists of them look the same in JSON.
func tomlValue(v any) string {
	if m, ok := v.(map[string]string); ok {
		var items []string
		for _, k := range slices.Sorted(maps.Keys(m)) {
			items = append(items, tomlValue(k)+" = "+tomlValue(m[k]))
		}
		return "{ " + strings.Join(items, ", ") + " }"
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic("BUG: a value of a test config cannot be written: " + err.Error())
	}
	return strings.TrimSpace(b.String())
}
