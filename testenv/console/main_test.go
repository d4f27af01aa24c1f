package console

import (
	"testing"

	"github.com/hookspool/hookspool/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }
