package testenv

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"testing"

	"github.com/hookspool/hookspool/testenv/effort"
	"github.com/hookspool/hookspool/testenv/nats"
)

// scenariosAtOnce is how many scenarios run side by side for each core, scenariosMost at most: they
// wait for ticks most of the time.
const (
	scenariosAtOnce = 3
	scenariosMost   = 12
)

// Main runs the scenarios of a package and leaves with their code. It is the TestMain of each
// package that has some: what they share, such as the cluster that HOOKSPOOL_ENGINE asks for, is
// there before the first and gone after the last.
func Main(m *testing.M) {
	effort.AtOnce(min(scenariosAtOnce*runtime.NumCPU(), scenariosMost))
	end := startEngine()
	code := m.Run()
	end()
	if err := errors.Join(RemoveBinary(), nats.RemoveBinary()); err != nil {
		fmt.Fprintln(os.Stderr, "cannot remove the binaries:", err)
	}
	os.Exit(code)
}

// startEngine starts the cluster that HOOKSPOOL_ENGINE=jetstream asks for, if nobody has told of
// one. It returns what ends it.
func startEngine() (end func()) {
	if os.Getenv("HOOKSPOOL_ENGINE") != "jetstream" || os.Getenv(clusterVariable) != "" {
		return func() {}
	}
	t := &mainTB{}
	dir, err := os.MkdirTemp("", "hookspool-nats-")
	if err == nil {
		err = os.Setenv(clusterVariable, nats.StartInProcess(t, nats.Options{Dir: dir}).URL())
	}
	if err != nil {
		panic(err)
	}
	return func() {
		for _, f := range slices.Backward(t.ends) {
			f()
		}
		if err := os.RemoveAll(dir); err != nil {
			fmt.Fprintln(os.Stderr, "cannot remove the cluster's files:", err)
		}
	}
}

// mainTB is what stands for a test before there is one.
type mainTB struct {
	testing.TB
	ends []func()
}

func (t *mainTB) Helper() {}

func (t *mainTB) Cleanup(f func()) { t.ends = append(t.ends, f) }

func (t *mainTB) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

func (t *mainTB) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

func (t *mainTB) Errorf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
