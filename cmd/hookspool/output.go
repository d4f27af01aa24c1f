package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
)

// output is where a verb writes: stdout, or a new file that only its owner reads. The file has its
// name once it is whole: until then it lies beside, hidden, so that a script that looks for the
// name never finds half of it, not even after a kill.
type output struct {
	io.Writer
	file *os.File // nil: stdout
	name string
}

func (c *cli) output(name string) (*output, error) {
	if name == "" || name == "-" {
		return &output{Writer: c.out}, nil
	}
	if _, err := os.Lstat(name); err == nil {
		return nil, isThere(name)
	}
	dir, base := filepath.Split(name)
	if dir == "" {
		dir = "." // and not the directory of temporary files
	}
	f, err := os.CreateTemp(dir, "."+base+".*") // with mode 0600
	if err != nil {
		return nil, fail("", "cannot write %q: %w", name, cause(err))
	}
	return &output{Writer: f, file: f, name: name}, nil
}

func isThere(name string) error {
	return fail("name another, or remove it", "%q is there already", name)
}

// end gives a file its name, or, after an error, removes it. It returns that error, or its own.
func (o *output) end(err error) error {
	if o.file == nil {
		return err
	}
	defer func() { _ = os.Remove(o.file.Name()) }() // under the hidden name; the other one stays
	if err == nil {
		err = o.file.Sync()
	}
	err = errors.Join(err, o.file.Close())
	if err == nil {
		err = os.Link(o.file.Name(), o.name) // unlike a rename it replaces nothing
	}
	switch {
	case errors.Is(err, os.ErrExist):
		return isThere(o.name)
	case errors.Is(err, errors.ErrUnsupported), errors.Is(err, os.ErrPermission):
		err = os.Rename(o.file.Name(), o.name) // a file system without hard links
	}
	return err
}
