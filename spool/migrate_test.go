package spool

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/hookspool/hookspool/spool/record"
)

// A migration runs step by step, stores each step, and is taken up again where it was cut off.
func TestMigrate(t *testing.T) {
	f := open(t)
	s := f.Spool
	id := s.format.ID
	var ran []uint64
	fails := errors.New("cut off")
	var failAt uint64 = 2
	step := func(from uint64) migration {
		return migration{from, func(*Spool) error {
			ran = append(ran, from)
			if from == failAt {
				return fails
			}
			return nil
		}}
	}
	steps := []migration{step(1), step(2), step(3)}
	if _, err := s.migrate(record.Format{Version: 1, ID: id}, 4, steps); !errors.Is(err, fails) {
		t.Fatal(err)
	}
	value, err := s.get(record.MetaKey(record.MetaFormat))
	if err != nil {
		t.Fatal(err)
	}
	d, _ := record.OpenValue(value)
	if v := d.Uint(); v != 2 || !bytes.Equal(d.Bytes(), id[:]) {
		t.Fatalf("version %d is stored; want 2, and the same id", v)
	}
	failAt = 0
	got, err := s.migrate(record.Format{Version: 2, ID: id}, 4, steps)
	if err != nil || got.Version != 4 || got.ID != id || fmt.Sprint(ran) != "[1 2 2 3]" {
		t.Errorf("got %+v, %v after steps %v", got, err, ran)
	}
	if _, err := s.migrate(record.Format{Version: 0}, 4, steps); !errors.Is(err, record.ErrOldFormat) {
		t.Errorf("a format without a way: %v", err)
	}
	for from := uint64(1); from < record.Version; from++ {
		if n := len(migrations()); uint64(n) != record.Version-1 || migrations()[from-1].from != from {
			t.Errorf("there is no step from format %d", from)
		}
	}
}
