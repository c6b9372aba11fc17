package boltkv_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/latchbolt-go/latchbolt/internal/kv"
	"github.com/latchbolt-go/latchbolt/internal/kv/boltkv"
	"github.com/latchbolt-go/latchbolt/internal/testsize"
)

// glanced returns a file of two buckets with three levels, and with pages that follow others.
func glanced(t *testing.T) []byte {
	t.Helper()
	path := create(t)
	s := open(t, path)
	for b, bucket := range []kv.Bucket{bucketA, bucketB} {
		for from := 0; from < 4000; from += 2000 {
			_, err := s.Update(t.Context(), func(tx kv.Tx) error {
				for i := from; i < from+2000; i++ {
					value := make([]byte, 40)
					if i%100 == 0 {
						value = make([]byte, 3000*(1+i%5)) // with pages following
					}
					if err := tx.Put(bucket, fmt.Appendf(nil, "key %d, which is long so that there are three levels, %06d", b, i*7919%4000), value); err != nil {
						return err
					}
				}
				return nil
			})
			must(t, err)
		}
	}
	must(t, s.Close())
	file, err := os.ReadFile(path)
	must(t, err)
	return file
}

// TestGlance damages a file, mostly where pages lead to each other, and expects a glance to notice what the walk notices.
func TestGlance(t *testing.T) {
	file := glanced(t)
	const pageSize = 4096
	used, sound, walked, defects := boltkv.Walks(file)
	if !sound || len(defects) > 0 || used != walked || walked < 200 {
		t.Fatalf("undamaged: %d pages in use at a glance, %v; %d by the walk, %v", used, sound, walked, defects)
	}
	var branches, leaves, all []int
	for at := 2 * pageSize; at < len(file); at += pageSize {
		switch flags := binary.NativeEndian.Uint16(file[at+8:]); {
		case int(binary.NativeEndian.Uint64(file[at:])) != at/pageSize:
			continue
		case flags == 1:
			branches = append(branches, at)
		case flags == 2:
			leaves = append(leaves, at)
		}
		all = append(all, at)
	}
	if len(branches) < 6 {
		t.Fatalf("there are only %d branches", len(branches))
	}
	rng := rand.New(rand.NewPCG(1, 2))
	some := func(of []int) int { return of[rng.IntN(len(of))] }
	tries, noticed, uneven := testsize.Of(200, 500), 0, 0
	for n := range tries {
		b := bytes.Clone(file)
		flip := func(from, size int) { b[from+rng.IntN(size)] ^= 1 << rng.IntN(8) }
		switch n % 6 {
		case 0:
			flip(some(all), 16)
		case 1:
			flip(some(branches), 16+16*8)
		case 2:
			flip(some(branches), pageSize)
		case 3: // a leaf, or a branch, under another branch
			at := some(branches)
			count := int(binary.NativeEndian.Uint16(b[at+10:]))
			binary.NativeEndian.PutUint64(b[at+16+16*rng.IntN(count)+8:], uint64(some(all)/pageSize))
		case 4:
			copy(b[some(all):][:pageSize], file[some(all):])
		case 5: // the page says where it is, but is a copy of another
			from, to := some(leaves), some(all)
			copy(b[to:][:pageSize], file[from:])
			binary.NativeEndian.PutUint64(b[to:], uint64(to/pageSize))
		}
		used, sound, walked, defects := boltkv.Walks(b)
		if sound && (len(defects) > 0 || used != walked) {
			t.Fatalf("damage %d: %d pages in use at a glance, %v; %d by the walk, %v", n, used, sound, walked, defects)
		}
		switch {
		case len(defects) > 0:
			noticed++
		case !sound: // the tree is sound and no longer equally deep
			uneven++
		}
	}
	t.Logf("%d noticed, %d trees left to the walk", noticed, uneven)
	if noticed < tries*3/10 || noticed > tries*9/10 || uneven > tries/25 {
		t.Error("that is too many or too few")
	}
}

// A failing reader reads a file of which, after so many reads, no more than the beginning can be read, or of which one read fails.
type failing struct {
	file    []byte
	after   int64 // reads
	keep    int64 // bytes
	once    bool  // what comes later can be read again
	err     error // of reading what is behind them
	reads   atomic.Int64
	refused atomic.Bool
}

func (f *failing) ReadAt(b []byte, off int64) (int, error) {
	if n := f.reads.Add(1); n > f.after && (!f.once || n == f.after+1) && off+int64(len(b)) > f.keep {
		f.refused.Store(true)
		return 0, f.err
	}
	return copy(b, f.file[off:]), nil
}

// TestGlanceOfLost cuts a file short while it is looked at, and has reading fail, from some read on or once. All that cannot be read is missed, by a glance too, and
// what Open says of it tells one from the other.
func TestGlanceOfLost(t *testing.T) {
	file := glanced(t)
	whole := &failing{file: file, after: 1 << 40}
	if !boltkv.Glances(whole, int64(len(file))) {
		t.Fatal("the whole file is not sound")
	}
	refused := 0
	for _, lost := range []error{io.EOF, syscall.EIO} {
		for n := range 3 * (whole.reads.Load() + 1) {
			after, keep := 2+n/3, int64(len(file))*(1+n%3*3)/8 // the first two pages are read before
			f := &failing{file: file, after: after, keep: keep, err: lost}
			if sound := boltkv.Glances(f, int64(len(file))); sound == f.refused.Load() {
				t.Fatalf("%v after %d reads: sound %v, refused %v", lost, after, sound, !sound)
			}
			if !f.refused.Load() {
				continue
			}
			refused++
			err := boltkv.FirstDefect(f, int64(len(file)))
			if errors.Is(err, kv.ErrCorrupt) != (lost == io.EOF) || errors.Is(err, syscall.EIO) == (lost == io.EOF) {
				t.Fatalf("%v after %d reads: %v", lost, after, err)
			}
		}
	}
	for after := int64(2); after < whole.reads.Load(); after++ {
		f := &failing{file: file, after: after, once: true, err: syscall.EIO}
		if boltkv.Glances(f, int64(len(file))) || !f.refused.Load() {
			t.Fatalf("one read after %d others failed, %v, and the file is sound", after, f.refused.Load())
		}
	}
	if refused < 40 {
		t.Errorf("only %d reads were refused", refused)
	}
}
