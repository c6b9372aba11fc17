package boltkv_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt/internal/kv"
	"github.com/latchbolt-go/latchbolt/internal/kv/boltkv"
	"github.com/latchbolt-go/latchbolt/internal/kv/kvtest"
	"github.com/latchbolt-go/latchbolt/internal/tally"
)

// A heldStore is one all of whose Views can be ended.
type heldStore struct {
	*boltkv.Store
}

func (s heldStore) View(ctx context.Context, fn func(kv.Reader) error) (kv.Rev, error) {
	return s.ViewHeld(ctx, fn)
}

func TestStoreHeld(t *testing.T) {
	kvtest.Run(t, func(t *testing.T) kv.Store { return heldStore{open(t, create(t))} })
}

// generations are states in which every one of some keys has the same content, a number over and over.
const (
	genKeys = 24
	genLen  = 16 << 10
)

func genKey(i int) []byte { return fmt.Append(nil, "key ", i) }

// writeGen writes a generation, on another goroutine: the caller may be inside a View.
func writeGen(t testing.TB, s *boltkv.Store, gen uint64) {
	t.Helper()
	value := bytes.Repeat(binary.BigEndian.AppendUint64(nil, gen), genLen/8)
	done := make(chan error)
	go func() {
		_, err := s.Update(context.Background(), func(tx kv.Tx) error {
			for i := range genKeys {
				if err := tx.Put(bucketA, genKey(i), value); err != nil {
					return err
				}
			}
			return nil
		})
		done <- err
	}()
	if err := <-done; err != nil {
		t.Errorf("writing: %v", err)
	}
}

// isGen reports whether v is all of one generation.
func isGen(v []byte, gen uint64) bool {
	return bytes.Equal(v, bytes.Repeat(binary.BigEndian.AppendUint64(nil, gen), genLen/8))
}

// writeRest writes a part of what else is in the file, again.
func writeRest(t testing.TB, s *boltkv.Store, i int) {
	t.Helper()
	done := make(chan error)
	go func() {
		_, err := s.Update(context.Background(), func(tx kv.Tx) error {
			for j := range 16 {
				if err := tx.Put(bucketB, fmt.Append(nil, i%rests, " ", j), make([]byte, 60<<10)); err != nil {
					return err
				}
			}
			return nil
		})
		done <- err
	}()
	if err := <-done; err != nil {
		t.Errorf("writing: %v", err)
	}
}

func fileSize(t testing.TB, s *boltkv.Store) int64 {
	t.Helper()
	info, err := boltkv.File(s).Stat()
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// rests is how many parts the rest has that writeRest writes.
const rests = 12

// fill makes a file of some 13 MiB that is in use, and returns how large it may become: less than twice that.
func fill(t testing.TB, s *boltkv.Store) (limit int64) {
	t.Helper()
	for i := range rests {
		writeRest(t, s, i)
	}
	writeGen(t, s, 0)
	if _, _, err := s.Compact(t.Context()); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		t.Fatal(err)
	}
	writeGen(t, s, 1)
	return 2 * fileSize(t, s)
}

// TestHeldViewEnds holds one View after another while others write. The file stays under twice its size, what each View read before it was ended stays what it was,
// and each is told why it can read nothing more.
func TestHeldViewEnds(t *testing.T) {
	defer boltkv.SetMinHeld(boltkv.SetMinHeld(1 << 20))
	s := open(t, create(t))
	limit := fill(t, s)
	gen := uint64(1)
	for range 4 {
		var seen [][]byte
		scanned := 0
		_, err := s.ViewHeld(t.Context(), func(r kv.Reader) error {
			v, err := r.Get(bucketA, genKey(0))
			if err != nil {
				return err
			}
			seen = append(seen, v)
			for p, err := range r.Scan(bucketA, nil, nil) {
				if err != nil {
					return err
				}
				seen = append(seen, p.Value)
				if scanned++; scanned == 3 {
					began := gen
					for boltkv.Held(s) > 0 && gen-began < 40 { // 54 MiB
						gen++
						writeGen(t, s, gen)
						writeRest(t, s, int(gen))
					}
					for i, v := range seen {
						if !isGen(v, began) {
							t.Errorf("value %d is no longer what was read", i)
						}
					}
					_, err := r.Get(bucketA, genKey(1))
					wantErr(t, "Get", err, kv.ErrTooOld)
					_, err = r.(kv.Prober).None(bucketA, []byte("none"))
					wantErr(t, "None", err, kv.ErrTooOld)
					for _, err := range r.ScanBack(bucketA, nil, nil) {
						wantErr(t, "ScanBack", err, kv.ErrTooOld)
					}
				}
			}
			return nil
		})
		wantErr(t, "going on with a scan", err, kv.ErrTooOld)
		if scanned != 3 {
			t.Errorf("the scan went on to %d pairs", scanned)
		}
	}
	n := fileSize(t, s)
	t.Logf("%d KiB, where twice the size is %d KiB, after %d states", n>>10, limit>>10, gen)
	if n >= limit {
		t.Errorf("the file has %d KiB; twice its size is %d KiB", n>>10, limit>>10)
	}
	if !isGen([]byte(get(t, s, string(genKey(genKeys-1)))), gen) {
		t.Error("the newest state is not the last one written")
	}
	verify(t, s)
}

// TestHeldViewLasts: Views that are not in the way are let be, whatever is written.
func TestHeldViewLasts(t *testing.T) {
	s := open(t, create(t))
	writeGen(t, s, 0)
	if _, err := s.ViewHeld(t.Context(), func(r kv.Reader) error {
		for gen := range uint64(10) { // less than 8 MiB
			writeGen(t, s, gen+1)
		}
		v, err := r.Get(bucketA, genKey(7))
		if err == nil && !isGen(v, 0) {
			t.Error("the View sees something else than at first")
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}

// TestHeldViewsRace reads in many Views while others write and Views are ended all the time: each sees one state, or the error.
func TestHeldViewsRace(t *testing.T) {
	defer boltkv.SetMinHeld(boltkv.SetMinHeld(64 << 10))
	s := open(t, create(t))
	writeGen(t, s, 0)
	var gen atomic.Uint64
	var free atomic.Bool // readers are to wait for nothing
	done := make(chan struct{})
	var ended, whole atomic.Int64
	var readers sync.WaitGroup
	for w := range 4 {
		readers.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				_, err := s.ViewHeld(context.Background(), func(r kv.Reader) error {
					until := gen.Load() + uint64(n%4)
					return readGen(t, r, w, func() {
						for gen.Load() < until && !free.Load() {
							runtime.Gosched()
						}
					})
				})
				switch {
				case err == nil:
					whole.Add(1)
				case errors.Is(err, kv.ErrTooOld):
					ended.Add(1)
				default:
					t.Errorf("reader %d: %v", w, err)
					return
				}
			}
		})
	}
	wanted := int64(10)
	if os.Getenv("LATCHBOLT_CI") != "" || os.Getenv("LATCHBOLT_SPACE") != "" || os.Getenv("LATCHBOLT_LONG") != "" {
		wanted = 200
	}
	for end := time.Now().Add(time.Minute); (ended.Load() < wanted || whole.Load() < wanted) && !t.Failed() && time.Now().Before(end); {
		writeGen(t, s, gen.Add(1))
		if gen.Load()%8 == 0 { // so that there are no free pages
			free.Store(true)
			if _, _, err := s.Compact(t.Context()); err != nil && !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("compacting: %v", err)
			}
			free.Store(false)
		}
	}
	close(done)
	free.Store(true)
	readers.Wait()
	t.Logf("%d states; %d Views saw theirs, %d were ended; the file has %d KiB", gen.Load(), whole.Load(), ended.Load(), fileSize(t, s)>>10)
	tally.Log(t, "views-whole", whole.Load(), "views-ended", ended.Load())
	if ended.Load() == 0 || whole.Load() == 0 {
		t.Error("not both outcomes were seen")
	}
	verify(t, s)
}

// readGen reads all keys, in the way of one of several readers, which may wait in the middle, and compares at the end what it read.
func readGen(t *testing.T, r kv.Reader, way int, middle func()) (err error) {
	var seen [][]byte
	saw := func(v []byte) {
		if seen = append(seen, v); len(seen) == genKeys/2 {
			middle()
		}
	}
	switch way % 3 {
	case 0:
		for i := 0; i < genKeys && err == nil; i++ {
			var v []byte
			if v, err = r.Get(bucketA, genKey(i)); err == nil {
				saw(v)
			}
		}
	default:
		scan := r.Scan
		if way%3 == 1 {
			scan = r.ScanBack
		}
		for p, scanErr := range scan(bucketA, nil, nil) {
			if err = scanErr; err == nil {
				saw(p.Value)
			}
		}
	}
	if err == nil && len(seen) != genKeys {
		t.Errorf("%d of %d keys were there", len(seen), genKeys)
	}
	for i, v := range seen {
		if gen := binary.BigEndian.Uint64(seen[0]); !isGen(v, gen) {
			t.Errorf("value %d of %d is not of the state %d of the first one", i, len(seen), gen)
		}
	}
	return err
}

// A slowDisk is a context that is asked before each piece of a copy is written, and waits while the copy at its destination is being written,
// each time it is begun.
type slowDisk struct {
	context.Context
	glob    string
	begun   bool
	waiting func()
}

func (c *slowDisk) Err() error {
	names, _ := filepath.Glob(c.glob)
	var size int64
	for _, name := range names {
		if info, err := os.Stat(name); err == nil {
			size += info.Size()
		}
	}
	if began := size > 0; began != c.begun {
		if c.begun = began; began {
			c.waiting()
		}
	}
	return c.Context.Err()
}

// TestSlowBackup writes much while a backup waits for its destination. The file stays under twice its size, and the backup
// is a sound file of one state.
func TestSlowBackup(t *testing.T) {
	defer boltkv.SetMinHeld(boltkv.SetMinHeld(1 << 20))
	for _, copying := range []struct {
		name string
		by   func(s *boltkv.Store, ctx context.Context, dest string) error
	}{
		{"Backup", func(s *boltkv.Store, ctx context.Context, dest string) error { return s.Backup(ctx, dest, false) }},
		{"Snapshot", (*boltkv.Store).Snapshot},
	} {
		t.Run(copying.name, func(t *testing.T) {
			path := create(t)
			s := open(t, path)
			limit := fill(t, s)
			dir := t.TempDir()
			gen, waits := uint64(1), 0
			slow := &slowDisk{Context: t.Context(), glob: filepath.Join(dir, "*"), waiting: func() {
				waits++
				for range 20 { // 27 MiB
					gen++
					writeGen(t, s, gen)
					writeRest(t, s, int(gen))
				}
			}}
			if copying.name == "Backup" {
				slow.glob = filepath.Join(dir, ".*.tmp")
			}
			dest := filepath.Join(dir, "copy.db")
			if err := copying.by(s, slow, dest); err != nil {
				t.Fatal(err)
			}
			if waits != 2 {
				t.Errorf("the destination was slow %d times; it should have been so with the first copy and with the second", waits)
			}
			if n := fileSize(t, s); n >= limit {
				t.Errorf("the file has %d KiB; twice its size is %d KiB", n>>10, limit>>10)
			}
			if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
			copied := open(t, dest)
			verify(t, copied)
			if v := []byte(get(t, copied, string(genKey(0)))); !isGen(v, 21) {
				t.Errorf("the copy is not of the state in which it was put aside, but of %d", binary.BigEndian.Uint64(v))
			}
			if _, err := copied.View(t.Context(), func(r kv.Reader) error { return readGen(t, r, 2, func() {}) }); err != nil {
				t.Error(err)
			}
			verify(t, s)
		})
	}
}
