//go:build unix

package crashtest

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/kv/boltkv"
)

// An event is one entry of a log.
type event struct {
	kind eventKind
	*change
	file int // for synced
	mark
}

type eventKind uint8

const (
	changed      eventKind = iota + 1 // not durable yet
	synced                            // what was done to a file is durable
	folderSynced                      // what was done to names is durable
	marked                            // a call of the engine began or returned
)

// A recorder writes the log of one folder.
type recorder struct {
	t   testing.TB
	dir string

	mu     sync.Mutex // guards all below
	disk   *disk      // as the programs on the machine see it
	events []event
	next   int // number of the next file
}

// recorders are those that boltkv tells its steps to, by folder.
var recorders struct {
	sync.Mutex
	byDir map[string]*recorder
}

func TestMain(m *testing.M) {
	if run := os.Getenv(childEnv); run != "" {
		child(run)
		return
	}
	debug.SetGCPercent(400) // images are small and many
	recorders.byDir = make(map[string]*recorder)
	boltkv.Observe = func(s boltkv.Step) {
		dir := filepath.Dir(s.Path)
		if s.Op == boltkv.FolderSynced {
			dir = s.Path
		}
		recorders.Lock()
		r := recorders.byDir[dir]
		recorders.Unlock()
		if r != nil {
			r.step(s)
		}
	}
	os.Exit(m.Run())
}

// record starts a recorder for a folder of its own.
func record(t testing.TB) *recorder {
	r := &recorder{t: t, dir: scratch(t), disk: newDisk()}
	recorders.Lock()
	defer recorders.Unlock()
	recorders.byDir[r.dir] = r
	t.Cleanup(func() {
		recorders.Lock()
		defer recorders.Unlock()
		delete(recorders.byDir, r.dir)
	})
	return r
}

// scratch returns an empty folder, in memory where that is possible.
func scratch(t testing.TB) string {
	dir, err := tempDir()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// lane opens a lane on an engine in the recorder's folder.
func (r *recorder) lane(number int, e *latchbolt.Engine, c *clock) *lane {
	return newLane(r.t, number, e, r.dir, r, c)
}

// path is where the engine's file is.
func (r *recorder) path() string { return filepath.Join(r.dir, dbName) }

// step notes what boltkv did.
func (r *recorder) step(s boltkv.Step) {
	r.mu.Lock()
	defer r.mu.Unlock()
	name, to := filepath.Base(s.Path), filepath.Base(s.To)
	switch s.Op {
	case boltkv.Created:
		r.next++
		r.noteLocked(&change{file: r.next, size: 0})
		r.noteLocked(&change{file: noFile, names: map[string]int{name: r.next}})
	case boltkv.Opened:
		r.hookLocked(name, s.DB)
	case boltkv.Committed:
		r.events = append(r.events, event{kind: synced, file: r.fileLocked(name)})
	case boltkv.Synced:
		r.catchUpLocked(name)
		r.events = append(r.events, event{kind: synced, file: r.fileLocked(name)})
	case boltkv.Linked:
		r.catchUpLocked(name)
		r.noteLocked(&change{file: noFile, names: map[string]int{to: r.fileLocked(name)}})
	case boltkv.Renamed:
		if _, err := os.Lstat(s.To); err != nil {
			r.t.Errorf("after a rename: %v", err)
		}
		r.noteLocked(&change{file: noFile, names: map[string]int{to: r.fileLocked(name), name: noFile}})
	case boltkv.Removed:
		r.noteLocked(&change{file: noFile, names: map[string]int{name: noFile}})
	case boltkv.FolderSynced:
		r.events = append(r.events, event{kind: folderSynced})
	}
}

// noteLocked adds a change to the log and to the disk.
func (r *recorder) noteLocked(c *change) {
	r.disk.apply(c)
	r.events = append(r.events, event{kind: changed, change: c})
}

func (r *recorder) fileLocked(name string) int {
	i, ok := r.disk.names[name]
	if !ok {
		r.t.Errorf("%s was not recorded; there are %v", name, slices.Sorted(maps.Keys(r.disk.names)))
	}
	return i
}

// catchUpLocked notes what was written to a file without a hook, such as a
// copy: as writes of pages that were not synced.
func (r *recorder) catchUpLocked(name string) {
	i := r.fileLocked(name)
	data, err := os.ReadFile(filepath.Join(r.dir, name))
	if err != nil {
		r.t.Errorf("recording: %v", err)
		return
	}
	f := r.disk.files[i]
	if int64(len(data)) != f.size {
		r.noteLocked(&change{file: i, size: int64(len(data))})
	}
	zero := make([]byte, pageSize)
	for off := 0; off < len(data); off += pageSize {
		page := data[off:min(off+pageSize, len(data))]
		old := zero[:len(page)]
		if off < len(f.data) {
			old = f.data[off:min(off+pageSize, len(f.data))]
		}
		if !bytes.Equal(page, old) {
			r.noteLocked(&change{file: i, off: int64(off), data: bytes.Clone(page)})
		}
	}
}

// hookLocked makes bbolt tell the recorder of each write. The hook is a field of an
// unexported struct in *bbolt.DB: if it is not where it was, the test fails.
func (r *recorder) hookLocked(name string, db any) {
	r.catchUpLocked(name)
	i := r.fileLocked(name)
	v := reflect.ValueOf(db).Elem()
	if v.FieldByName("NoSync").Bool() || v.FieldByName("NoGrowSync").Bool() {
		r.t.Error("bbolt was told not to sync")
	}
	field := v.FieldByName("ops").FieldByName("writeAt")
	hook := (*func([]byte, int64) (int, error))(unsafe.Pointer(field.UnsafeAddr()))
	write := *hook
	osFile := *(**os.File)(unsafe.Pointer(v.FieldByName("file").UnsafeAddr()))
	*hook = func(b []byte, off int64) (int, error) {
		info, err := osFile.Stat()
		if err != nil {
			r.t.Errorf("recording: %v", err)
			return 0, err
		}
		r.wrote(i, info.Size(), b, off)
		return write(b, off)
	}
}

// wrote notes a write of bbolt to file i, which has a size by now. If that is
// new, bbolt has made it so and synced it; before a meta page it has synced the others.
func (r *recorder) wrote(i int, size int64, b []byte, off int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if size != r.disk.files[i].size {
		r.noteLocked(&change{file: i, size: size})
		r.events = append(r.events, event{kind: synced, file: i})
	}
	if off < 2*pageSize {
		r.events = append(r.events, event{kind: synced, file: i})
	}
	r.noteLocked(&change{file: i, off: off, data: bytes.Clone(b)})
}

// mark notes where a lane is.
func (r *recorder) mark(m mark) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, event{kind: marked, mark: m})
}

// log returns what was recorded, after it made sure that nothing was missed: the
// recorder's disk and the real folder must be the same.
func (r *recorder) log() []event {
	r.mu.Lock()
	defer r.mu.Unlock()
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		r.t.Fatal(err)
	}
	var there []string
	for _, e := range entries {
		there = append(there, e.Name())
	}
	if want := slices.Sorted(maps.Keys(r.disk.names)); !slices.Equal(there, want) {
		r.t.Fatalf("the folder has %v, and recorded are %v", there, want)
	}
	for name, i := range r.disk.names {
		data, err := os.ReadFile(filepath.Join(r.dir, name))
		if err != nil {
			r.t.Fatal(err)
		}
		f := r.disk.files[i]
		if int64(len(data)) != f.size || !bytes.Equal(data[:len(f.data)], f.data) || strings.Trim(string(data[len(f.data):]), "\x00") != "" {
			r.t.Fatalf("%s has %d bytes that are not the %d recorded ones", name, len(data), f.size)
		}
	}
	return slices.Clone(r.events)
}
