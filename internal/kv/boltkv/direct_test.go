package boltkv_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/latchbolt-go/latchbolt/internal/kv"
	"github.com/latchbolt-go/latchbolt/internal/kv/boltkv"
)

// TestDamagedAfterOpen damages pages of a file that is open: a read finds the value, or says that the file is damaged.
func TestDamagedAfterOpen(t *testing.T) {
	const keys, pageSize = 3000, 4096
	key := func(i int) []byte { return fmt.Appendf(nil, "key %06d", i) }
	path := create(t)
	s := open(t, path)
	_, err := s.Update(t.Context(), func(tx kv.Tx) error {
		for i := range keys {
			if err := tx.Put(bucketA, key(i), fmt.Appendf(nil, "value %d", i)); err != nil {
				return err
			}
		}
		return nil
	})
	must(t, err)
	must(t, s.Close())
	sound, err := os.ReadFile(path)
	must(t, err)
	rng := rand.New(rand.NewPCG(5, 6))
	noticed, right, other := 0, 0, 0
	for n := range 60 {
		s := open(t, path)
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		must(t, err)
		for range 60 { // a number in the head of a page or of its elements
			page := 2 + rng.IntN(len(sound)/pageSize-2)
			if flags := binary.NativeEndian.Uint16(sound[page*pageSize+8:]); flags != 1 && flags != 2 {
				continue
			}
			var b [4]byte
			binary.NativeEndian.PutUint32(b[:], rng.Uint32()>>rng.IntN(32))
			at := page*pageSize + 4*rng.IntN(4+4*30)
			_, err := f.WriteAt(b[:], int64(at))
			must(t, err)
		}
		for i := n % 7; i < keys; i += 7 {
			_, err := s.View(t.Context(), func(r kv.Reader) error {
				v, err := r.Get(bucketA, key(i))
				switch {
				case string(v) == fmt.Sprint("value ", i):
					right++
				case v != nil: // the checksum of the record above tells
					other++
				}
				return err
			})
			switch {
			case errors.Is(err, kv.ErrCorrupt):
				noticed++
				foreseen(t, err)
			case err != nil:
				t.Fatal(err)
			}
		}
		scanDamaged(t, s, keys)
		_ = s.Close() // it may say that it is damaged
		_, err = f.WriteAt(sound, 0)
		must(t, errors.Join(err, f.Truncate(int64(len(sound))), f.Close()))
	}
	if noticed < 30 || right < 500 {
		t.Errorf("%d times the damage was noticed, %d times the value was right, %d times it was another one", noticed, right, other)
	}
}

// scanDamaged reads all of a damaged file in both directions: what comes is in order, and it ends.
func scanDamaged(t *testing.T, s *boltkv.Store, keys int) {
	t.Helper()
	for _, back := range []bool{false, true} {
		_, err := s.View(t.Context(), func(r kv.Reader) error {
			scan := r.Scan
			if back {
				scan = r.ScanBack
			}
			var last []byte
			n := 0
			for p, err := range scan(bucketA, nil, nil) {
				if err != nil {
					return err
				}
				if c := bytes.Compare(p.Key, last); n > 0 && (c <= 0) != back || n > 100*keys {
					t.Fatalf("key %d is %q after %q", n, p.Key, last)
				}
				last = append(last[:0], p.Key...)
				n++
			}
			return nil
		})
		if err != nil && !errors.Is(err, kv.ErrCorrupt) && !errors.Is(err, kv.ErrFailed) {
			t.Fatal(err)
		}
		foreseen(t, err)
	}
}

// foreseen reports an error that came of a number that was followed and should have been checked.
func foreseen(t *testing.T, err error) {
	t.Helper()
	if err != nil && strings.Contains(err.Error(), "runtime error") {
		t.Errorf("a number was followed that nobody checked: %v", err)
	}
}

// TestMisplacedPages puts the leaves of an open file into each other's places, and makes them something else: all keys are there or damaged, and
// none is missing.
func TestMisplacedPages(t *testing.T) {
	const keys, pageSize = 2000, 4096
	key := func(i int) []byte { return fmt.Appendf(nil, "key %06d", i) }
	for name, spoil := range map[string]func(data []byte, leaves []int){
		"two leaves in each other's place": func(data []byte, leaves []int) {
			a, b := data[leaves[2]*pageSize:][:pageSize], data[leaves[5]*pageSize:][:pageSize]
			old := bytes.Clone(a)
			copy(a, b)
			copy(b, old)
		},
		"a leaf over another": func(data []byte, leaves []int) {
			copy(data[leaves[2]*pageSize:][:pageSize], data[leaves[5]*pageSize:])
		},
		"a leaf that says it is a list of free pages": func(data []byte, leaves []int) { data[leaves[3]*pageSize+8] = 16 },
		"a leaf that says it is a branch":             func(data []byte, leaves []int) { data[leaves[3]*pageSize+8] = 1 },
		"a leaf of too many elements":                 func(data []byte, leaves []int) { data[leaves[3]*pageSize+11] = 0x70 },
		"a leaf that ends after the file":             func(data []byte, leaves []int) { data[leaves[3]*pageSize+15] = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			path := create(t)
			s := open(t, path)
			_, err := s.Update(t.Context(), func(tx kv.Tx) error {
				for i := range keys {
					if err := tx.Put(bucketA, key(i), []byte("v")); err != nil {
						return err
					}
				}
				return nil
			})
			must(t, err)
			must(t, s.Close())
			s = open(t, path)
			data, err := os.ReadFile(path)
			must(t, err)
			var leaves []int
			for page := 2; page < len(data)/pageSize; page++ {
				if head := data[page*pageSize:]; binary.NativeEndian.Uint16(head[8:]) == 2 && binary.NativeEndian.Uint16(head[10:]) > 20 {
					leaves = append(leaves, page)
				}
			}
			spoil(data, leaves)
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			must(t, err)
			_, err = f.WriteAt(data, 0)
			must(t, errors.Join(err, f.Close()))
			damaged := 0
			for i := range keys {
				_, err := s.View(t.Context(), func(r kv.Reader) error {
					v, err := r.Get(bucketA, key(i))
					if err == nil && string(v) != "v" {
						t.Errorf("%s = %q", key(i), v)
					}
					return err
				})
				if foreseen(t, err); errors.Is(err, kv.ErrCorrupt) {
					damaged++
				} else if err != nil {
					t.Fatal(err)
				}
			}
			if damaged == 0 || damaged == keys {
				t.Errorf("%d of %d keys are damaged", damaged, keys)
			}
			scanDamaged(t, s, keys)
			_ = s.Close() // it may say that it is damaged
		})
	}
}

// TestCircle lets a branch of an open file lead to itself. bbolt would go round until the process has no memory left.
func TestCircle(t *testing.T) {
	const keys, pageSize = 3000, 4096
	key := func(i int) []byte { return fmt.Appendf(nil, "key %06d", i) }
	for _, first := range []bool{true, false} {
		path := create(t)
		s := open(t, path)
		_, err := s.Update(t.Context(), func(tx kv.Tx) error {
			for i := range keys {
				if err := tx.Put(bucketA, key(i), nil); err != nil {
					return err
				}
			}
			return nil
		})
		must(t, err)
		must(t, s.Close())
		s = open(t, path)
		data, err := os.ReadFile(path)
		must(t, err)
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		must(t, err)
		circles := 0
		for page := 2; page < len(data)/pageSize; page++ {
			if head := data[page*pageSize:]; binary.NativeEndian.Uint16(head[8:]) == 1 {
				at := page*pageSize + 16 + 8
				if !first {
					at += 16 * (int(binary.NativeEndian.Uint16(head[10:])) - 1)
				}
				_, err := f.WriteAt(binary.NativeEndian.AppendUint64(nil, uint64(page)), int64(at))
				must(t, err)
				circles++
			}
		}
		must(t, f.Close())
		if circles == 0 {
			t.Fatal("there is no branch")
		}
		bad := key(keys)
		if first {
			bad = key(0)
		}
		got := func(what string, err error) {
			if !errors.Is(err, kv.ErrCorrupt) {
				t.Errorf("%s: %v", what, err)
			}
		}
		_, err = s.View(t.Context(), func(r kv.Reader) error { _, err := r.Get(bucketA, bad); return err })
		got("Get", err)
		for _, back := range []bool{first, !first} {
			_, err = s.View(t.Context(), func(r kv.Reader) error {
				scan := r.Scan
				if back {
					scan = r.ScanBack
				}
				for _, err := range scan(bucketA, nil, nil) {
					if err != nil {
						return err
					}
				}
				return nil
			})
			got(fmt.Sprintf("scan, back: %v", back), err)
		}
		_ = s.Close() // it may say that it is damaged
		for name, fn := range map[string]func(kv.Tx) error{
			"Get in an Update": func(tx kv.Tx) error { _, err := tx.Get(bucketA, bad); return err },
			"Put":              func(tx kv.Tx) error { return tx.Put(bucketA, bad, nil) },
			"Delete":           func(tx kv.Tx) error { return tx.Delete(bucketA, bad) },
			"DeletePrefix":     func(tx kv.Tx) error { return tx.DeletePrefix(bucketA, bad) },
		} {
			must(t, os.WriteFile(path, data, 0o600))
			s := open(t, path)
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			must(t, err)
			for page := 2; page < len(data)/pageSize; page++ {
				if head := data[page*pageSize:]; binary.NativeEndian.Uint16(head[8:]) == 1 {
					for i := range int(binary.NativeEndian.Uint16(head[10:])) {
						_, err := f.WriteAt(binary.NativeEndian.AppendUint64(nil, uint64(page)), int64(page*pageSize+16+16*i+8))
						must(t, err)
					}
				}
			}
			must(t, f.Close())
			_, err = s.Update(t.Context(), fn)
			got(name, err)
			_ = s.Close()
		}
	}
}
