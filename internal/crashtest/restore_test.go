//go:build unix

package crashtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/tally"
)

// A making is the log of an operation outside of an engine that makes a file: by any cut the file is as it
// was before, or as it is after the operation.
type making struct {
	from    *disk
	pending []*change
	events  []event
	// look says what there is in a folder, "old" or "new".
	look func(dir string) (string, error)
}

// making runs an operation in the recorder's folder.
func (r *recorder) making(t *testing.T, operation func() error) *making {
	t.Helper()
	before := len(r.log())
	if err := operation(); err != nil {
		t.Fatal(err)
	}
	m := &making{events: r.log()[before:]}
	replay(newDisk(), nil, r.log()[:before], func(c *cut) { m.from, m.pending = c.durable.clone(), slices.Clone(c.pending) })
	return m
}

// images looks at images of the operation with the log given, and says how many were of which kind. When all is
// done, only the new one may be there.
func (m *making) images(t *testing.T, events []event, seed uint64, most int) (seen map[string]int, bad int, first error) {
	t.Helper()
	dir, rng := scratch(t), rand.New(rand.NewPCG(seed, 5))
	seen = make(map[string]int)
	cuts := 0
	replay(m.from, m.pending, events, func(*cut) { cuts++ })
	replay(m.from, m.pending, events, func(c *cut) {
		n := min(c.full(), most)
		for i := range n {
			img := c.image(i, n, rng)
			if err := img.write(dir); err != nil {
				t.Fatal(err)
			}
			which, err := m.look(dir)
			if err == nil && c.number == cuts-1 && which != "new" {
				err = errors.New("it was undone though it was acknowledged")
			}
			if err != nil {
				bad++
				if first == nil {
					first = fmt.Errorf("image %d of %v: %w", i, c, err)
				}
			}
			seen[which]++
			clean(dir)
		}
	})
	return seen, bad, first
}

// mustHold wants no bad image, and then that the log without some of its syncs gives one: without all of a kind, and
// without those that more controls tell of.
func (m *making) mustHold(t *testing.T, seed uint64, controls map[string]func(i int) bool) {
	t.Helper()
	controls["the folder is not synced"] = func(i int) bool { return m.events[i].kind == folderSynced }
	controls["no file is synced"] = func(i int) bool { return m.events[i].kind == synced }
	start, most := time.Now(), max(budget(t, 5)/10, 12)
	seen, bad, first := m.images(t, m.events, seed, most)
	t.Logf("%v images, %d bad, in %v", seen, bad, time.Since(start).Round(time.Millisecond))
	tally.Log(t, "images", seen["old"]+seen["new"]+seen["bad"], "bad", bad, "seed", seed)
	if bad > 0 {
		t.Errorf("%d images are bad; the first: %v", bad, first)
	}
	if seen["old"] == 0 || seen["new"] == 0 {
		t.Error("all images are of one kind: this test tests little")
	}
	for name, drop := range controls {
		broken := without(m.events, drop)
		_, bad, first := m.images(t, broken, seed, 40)
		tally.Log(t, "controls", 1, "caught", min(bad, 1))
		if bad == 0 {
			t.Errorf("%s: not caught", name)
		} else {
			t.Logf("%s: caught, %d bad; the first: %v", name, bad, first)
		}
	}
}

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
	old, err := contentOf(l.path())
	if err != nil {
		t.Fatal(err)
	}
	const kept = "kept.db"
	o := &latchbolt.RestoreOptions{KeepAs: filepath.Join(r.dir, kept)}
	m := r.making(t, func() error {
		_, err := latchbolt.Restore(t.Context(), filepath.Join(r.dir, backupName), l.path(), o)
		return err
	})
	restored, err := contentOf(l.path())
	if err != nil || restored == old {
		t.Fatalf("the restore changed nothing, or %v", err)
	}
	m.look = func(dir string) (string, error) {
		got, err := contentOf(filepath.Join(dir, dbName))
		if err != nil || got != old && got != restored {
			return "bad", fmt.Errorf("the file is neither of the two: %v", err)
		}
		copied, err := contentOf(filepath.Join(dir, kept))
		if err != nil || copied != old && copied != "absent" || got == restored && copied != old {
			return "bad", fmt.Errorf("what was kept is neither whole nor absent, or not there though it was replaced: %v", err)
		}
		if got == restored {
			return "new", nil
		}
		return "old", nil
	}
	names := func(i int) bool { return m.events[i].kind == changed && m.events[i].change.file == noFile }
	m.mustHold(t, s, map[string]func(int) bool{
		"what is kept may get its name after the other": func(i int) bool {
			next := around(m.events, i, 1)
			return m.events[i].kind == folderSynced && next.kind == changed && next.change.file == noFile && next.names[dbName] > 0
		},
		"a file gets its name before it is synced": func(i int) bool {
			return m.events[i].kind == synced && i+1 < len(m.events) && names(i+1)
		},
	})
}

// TestSalvage cuts the power while a new file is made of what is intact in another: it is there whole, or not at all, and
// the other one is as it was.
func TestSalvage(t *testing.T) {
	s := seed(t)
	r := record(t)
	l := r.lane(0, nil, new(clock))
	l.open()
	l.few()
	l.close()
	old, err := contentOf(l.path())
	if err != nil {
		t.Fatal(err)
	}
	const made = "salvaged.db"
	m := r.making(t, func() error {
		_, err := latchbolt.Salvage(t.Context(), l.path(), filepath.Join(r.dir, made), nil)
		return err
	})
	whole, err := contentOf(filepath.Join(r.dir, made))
	if err != nil || whole == old {
		t.Fatalf("the new file is the old one, or %v", err)
	}
	m.look = func(dir string) (string, error) {
		if got, err := contentOf(filepath.Join(dir, dbName)); err != nil || got != old {
			return "bad", fmt.Errorf("the file that was salvaged was changed: %v", err)
		}
		switch got, err := contentOf(filepath.Join(dir, made)); {
		case err == nil && got == "absent":
			return "old", nil
		case err == nil && got == whole:
			return "new", nil
		default:
			return "bad", fmt.Errorf("what is made is neither whole nor absent: %v", err)
		}
	}
	m.mustHold(t, s, make(map[string]func(int) bool))
}
