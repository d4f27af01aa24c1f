// Package config reads hookspool's TOML file: every key with its unit, its default and its bounds,
// strict, and with all faults at once.
//
// The way of one file:
//
//	text ─ toml.Decode ─ map ─ rows (schema.go) ─ Config ─ cross checks (check.go) ─ *Config
//	   └── scanPlaces (place.go): line and column of every key ──┴── *Faults
//
// The TOML library stops at its first fault and knows no positions of unknown keys, so it is asked
// for plain values only. What a value may be is one row per key in schema.go, and where a key
// stands is found by a small scanner of our own, which is used for positions and nothing else.
//
// A fault names keys and places. It shows the values of harmless keys, and never one of a key that
// may hold a secret: tokens, keys, passwords, URLs and headers are described, not quoted.
//
// Nothing here keeps state, starts goroutines or touches anything but the files that the config
// names. All functions are safe for concurrent use.
package config
