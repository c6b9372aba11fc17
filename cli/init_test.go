package cli_test

import (
	"bytes"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/cli"
)

// TestInitBesideAnother tests that init refuses, and does not take for its own, a file that another process makes at the same moment, which
// here is when the clock is first asked.
func TestInitBesideAnother(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	var once sync.Once
	clock := func() time.Time {
		once.Do(func() {
			eng, err := latchbolt.Open(path, &latchbolt.Config{Create: true})
			if err == nil {
				err = eng.Close()
			}
			if err != nil {
				t.Error(err)
			}
		})
		return time.Now()
	}
	root := cli.New(&cli.Options{Path: path, Config: &latchbolt.Config{Clock: clock}})
	var out, errOut bytes.Buffer
	root.SetArgs([]string{"init", "--case-sensitive"})
	root.SetOut(&out)
	root.SetErr(&errOut)
	if code := cli.Run(t.Context(), root); code != cli.ExitConflict || out.Len() > 0 {
		t.Errorf("init ended with %d and said %q, %q; want %d and nothing", code, &out, &errOut, cli.ExitConflict)
	}
	eng, err := latchbolt.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = eng.Close() }()
	if eng.CaseSensitive() {
		t.Error("the file is not that of the other process")
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}
