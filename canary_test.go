package latchbolt_test

import (
	"os"
	"testing"

	"github.com/latchbolt-go/latchbolt/internal/canary"
	"github.com/latchbolt-go/latchbolt/internal/testsize"
)

// TestMain looks for secrets in the logs and files of all tests if LATCHBOLT_CANARY names a folder for the logs.
func TestMain(m *testing.M) {
	testsize.Collect()
	os.Exit(canary.Run(m, goodPassword))
}
