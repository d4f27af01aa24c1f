package config

import (
	"errors"
	"io/fs"
	"testing"
)

// world is the environment and the files that a config may ask for.
type world struct {
	env   map[string]string
	files map[string]string
}

func (w world) getenv(name string) (string, bool) {
	value, ok := w.env[name]
	return value, ok
}

func (w world) readFile(path string) ([]byte, error) {
	content, ok := w.files[path]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	return []byte(content), nil
}

func (w world) parse(text string) (*Config, error) {
	return Parse("t.toml", []byte(text), w.getenv, w.readFile)
}

// mustParse returns the config of a text that is not at fault.
func (w world) mustParse(t *testing.T, text string) *Config {
	t.Helper()
	c, err := w.parse(text)
	if err != nil {
		t.Fatalf("%v\nin:\n%s", err, text)
	}
	return c
}

// faultsOf returns the faults of a text, nil when there are none.
func (w world) faultsOf(t *testing.T, text string) *Faults {
	t.Helper()
	_, err := w.parse(text)
	if err == nil {
		return nil
	}
	var faults *Faults
	if !errors.As(err, &faults) || len(faults.List) == 0 {
		t.Fatalf("not a *Faults with faults: %T %v", err, err)
	}
	return faults
}
