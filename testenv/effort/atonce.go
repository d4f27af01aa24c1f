package effort

import (
	"flag"
	"strconv"
)

// AtOnce is how many tests of a package run side by side, unless -parallel says it. Its TestMain
// calls it where tests wait most of the time, so that more of them are of use than there are cores.
func AtOnce(n int) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if given {
		return
	}
	if err := flag.Set("test.parallel", strconv.Itoa(n)); err != nil {
		panic(err)
	}
}
