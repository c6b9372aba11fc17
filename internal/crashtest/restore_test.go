//go:build unix

package crashtest

import (
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/tally"
)

// TestRestore cuts the power while a backup is put in place of the file: the file is the old one or the new one, and what is kept
// of the old one is whole or absent.
func TestRestore(t *testing.T) {
	s := seed(t)
	r := record(t)
	l := r.lane(0, nil, new(clock))
	l.w.backup = "absent"
	l.open()
	l.define("add")
	l.login(l.createUser(true), nil)
	l.backup(false)
	l.login(l.createUser(false), nil)
	l.close()
	before := len(r.log())
	old, err := contentOf(r.path())
	if err != nil {
		t.Fatal(err)
	}
	const kept = "kept.db"
	o := &latchbolt.RestoreOptions{KeepAs: filepath.Join(r.dir, kept)}
	if _, err := latchbolt.Restore(t.Context(), filepath.Join(r.dir, backupName), r.path(), o); err != nil {
		t.Fatal(err)
	}
	restored, err := contentOf(r.path())
	if err != nil || restored == old {
		t.Fatalf("the restore changed nothing, or %v", err)
	}
	var from *disk
	var pending []*change
	replay(newDisk(), nil, r.log()[:before], func(c *cut) { from, pending = c.durable.clone(), slices.Clone(c.pending) })

	start, images, seen := time.Now(), 0, make(map[string]int)
	dir, most := scratch(t), max(budget(t, 5)/10, 10)
	rng := rand.New(rand.NewPCG(s, 5))
	var last string
	replay(from, pending, r.log()[before:], func(c *cut) {
		n := min(c.full(), most)
		for i := range n {
			last = ""
			m := c.image(i, n, rng)
			if err := m.write(dir); err != nil {
				t.Fatal(err)
			}
			got, err := contentOf(filepath.Join(dir, dbName))
			if err != nil || got != old && got != restored {
				t.Errorf("image %d of %v: the file is neither of the two: %v", i, c, err)
			}
			copied, err := contentOf(filepath.Join(dir, kept))
			if err != nil || copied != old && copied != "absent" || got == restored && copied != old {
				t.Errorf("image %d of %v: what was kept is neither whole nor absent: %v", i, c, err)
			}
			if got == restored {
				last = "restored"
			}
			seen[last]++
			images++
			clean(dir)
		}
	})
	if last != "restored" {
		t.Error("at the end the file is the old one")
	}
	t.Logf("%d images, %d of them restored, in %v", images, seen["restored"], time.Since(start).Round(time.Millisecond))
	tally.Log(t, "images", images)
	if seen[""] == 0 || seen["restored"] == 0 {
		t.Error("all images are of one kind: this test tests little")
	}
}
