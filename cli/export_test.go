package cli_test

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/latchbolt-go/latchbolt/internal/kv/boltkv"
)

// TestExportIsDurable: whether or not a file is replaced, the name of an export into a file is on the disk when the command has ended.
func TestExportIsDurable(t *testing.T) {
	sh := &shell{filepath.Join(privateDir(t), "app.db"), config(), false}
	oneUser(t, sh.path)
	dest := filepath.Join(privateDir(t), "users.ndjson")
	var steps []boltkv.Step
	boltkv.Observe = func(s boltkv.Step) {
		if s.To == dest || s.Path == filepath.Dir(dest) {
			steps = append(steps, s)
		}
	}
	t.Cleanup(func() { boltkv.Observe = nil })
	for _, args := range [][]string{{"export", "ndjson", "-o", dest}, {"export", "ndjson", "-o", dest, "--force"}} {
		steps = nil
		sh.want(t, 0, "", args...)
		renamed := slices.IndexFunc(steps, func(s boltkv.Step) bool { return s.To == dest })
		if renamed < 0 || !slices.ContainsFunc(steps[renamed:], func(s boltkv.Step) bool { return s.Op == boltkv.FolderSynced }) {
			t.Errorf("%q: the steps are %+v", args, steps)
		}
	}
}
