package main

import (
	"testing"

	"github.com/hookspool/hookspool/testenv"
)

// Every mutant finds the code that it breaks, so that none rots unseen between two long runs.
func TestMutantsApply(t *testing.T) {
	root, err := testenv.Root()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mutants() {
		if _, err := m.overlay(root, t.TempDir()); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
	}
}
