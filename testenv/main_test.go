package testenv

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

// scenariosAtOnce is how many scenarios run side by side. Most of them wait for ticks most of the
// time, so more than there are cores.
const scenariosAtOnce = "8"

func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		if err := flag.Set("test.parallel", scenariosAtOnce); err != nil {
			panic(err)
		}
	}
	code := m.Run()
	if err := RemoveBinary(); err != nil {
		fmt.Fprintln(os.Stderr, "cannot remove the binary:", err)
	}
	os.Exit(code)
}
