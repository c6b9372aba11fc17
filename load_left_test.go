package latchbolt_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/latchbolt-go/latchbolt"
)

// TestOpenRemovesWhatALoadLeft tests that the temporary file of a load, in which passwords' hashes stand, does not stay
// after a power cut until somebody loads users again.
func TestOpenRemovesWhatALoadLeft(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("SKIPPED: files in use keep their names on Windows, so what is left cannot be told from what is used")
	}
	e := open(t, nil)
	must(t, "closing", e.Close())
	left := filepath.Join(filepath.Dir(e.Path()), ".latchbolt-sort-2895268810")
	must(t, "writing", os.WriteFile(left, []byte("pbkdf2_sha256$"), 0o600))
	again, err := latchbolt.Open(e.Path(), nil)
	must(t, "Open", err)
	must(t, "closing", again.Close())
	if _, err := os.Lstat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what a load left is still there: %v", err)
	}
}
