package boltkv_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/latchbolt-go/latchbolt/internal/kv"
)

// lead makes an element of a branch in the middle of an open file lead to the branch itself.
func lead(t *testing.T, path string, element func(count int) int) {
	t.Helper()
	const pageSize = 4096
	data, err := os.ReadFile(path)
	must(t, err)
	var branches []int
	for page := 2; page < len(data)/pageSize; page++ {
		if binary.NativeEndian.Uint16(data[page*pageSize+8:]) == 1 {
			branches = append(branches, page)
		}
	}
	if len(branches) < 5 {
		t.Fatalf("there are %d branches", len(branches))
	}
	page := branches[len(branches)/2] * pageSize
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	i := element(int(binary.NativeEndian.Uint16(data[page+10:])))
	_, err = f.WriteAt(binary.NativeEndian.AppendUint64(nil, uint64(page/pageSize)), int64(page+16+16*i+8))
	must(t, errors.Join(err, f.Close()))
}

// TestCircleOnTheWay: an Update comes to pages that lead in a circle, neither where it begins nor where it ends, and says that the file is damaged.
func TestCircleOnTheWay(t *testing.T) {
	const keys = 1000
	key := func(i int) []byte { return fmt.Appendf(nil, "key %06d%s", i, bytes.Repeat([]byte("."), 200)) }
	path := create(t)
	s := open(t, path)
	_, err := s.Update(t.Context(), func(tx kv.Tx) error {
		err := tx.Put(bucketB, []byte("elsewhere"), []byte("is well"))
		for i := 0; i < keys && err == nil; i++ {
			err = tx.Put(bucketA, key(i), nil)
		}
		return err
	})
	must(t, errors.Join(err, s.Close()))
	sound, err := os.ReadFile(path)
	must(t, err)
	all := func(r kv.Reader, back bool) error {
		scan, n := r.Scan, 0
		if back {
			scan = r.ScanBack
		}
		for _, err := range scan(bucketA, []byte("key "), nil) {
			if n++; err != nil || n > keys {
				return err
			}
		}
		return nil
	}
	for name, fn := range map[string]func(kv.Tx) error{
		"Scan":         func(tx kv.Tx) error { return all(tx, false) },
		"ScanBack":     func(tx kv.Tx) error { return all(tx, true) },
		"DeletePrefix": func(tx kv.Tx) error { return tx.DeletePrefix(bucketA, []byte("key ")) },
		"DeleteSome":   func(tx kv.Tx) error { _, err := tx.DeleteSome(bucketA, []byte("key "), keys-1); return err },
	} {
		for where, element := range map[string]func(int) int{
			"first":  func(int) int { return 0 },
			"middle": func(n int) int { return n / 2 },
			"last":   func(n int) int { return n - 1 },
		} {
			t.Run(name+"/"+where, func(t *testing.T) {
				must(t, os.WriteFile(path, sound, 0o600))
				s := open(t, path)
				lead(t, path, element)
				if _, err := s.Update(t.Context(), fn); !errors.Is(err, kv.ErrCorrupt) {
					t.Errorf("alone: %v", err)
				}
				_ = s.Close() // it may say that it is damaged
				if where == "first" && name != "DeletePrefix" || where == "last" && name == "ScanBack" {
					return // what others of the group wrote is known to bbolt only, which goes down in circles
				}
				must(t, os.WriteFile(path, sound, 0o600))
				s = open(t, path)
				lead(t, path, element)
				got := together(t, s, func(tx kv.Tx) error { return tx.Put(bucketA, []byte("another"), nil) }, fn)
				if err := got[1].err; !errors.Is(err, kv.ErrCorrupt) {
					t.Errorf("in a group: %v", err)
				}
				_ = s.Close()
			})
		}
	}
}

// TestDamageIsOnlyWhereItIs: a View that has come to a damaged page can read what is elsewhere.
func TestDamageIsOnlyWhereItIs(t *testing.T) {
	path := create(t)
	s := open(t, path)
	_, err := s.Update(t.Context(), func(tx kv.Tx) error {
		err := tx.Put(bucketB, []byte("elsewhere"), []byte("is well"))
		for i := 0; i < 1000 && err == nil; i++ {
			err = tx.Put(bucketA, fmt.Appendf(nil, "key %06d%s", i, bytes.Repeat([]byte("."), 200)), nil)
		}
		return err
	})
	must(t, err)
	must(t, s.Close())
	s = open(t, path)
	lead(t, path, func(n int) int { return n / 2 })
	_, err = s.View(t.Context(), func(r kv.Reader) error {
		for _, scan := range []func() error{
			func() (err error) {
				for _, err = range r.Scan(bucketA, nil, nil) {
				}
				return err
			},
			func() (err error) {
				for _, err = range r.ScanBack(bucketA, nil, nil) {
				}
				return err
			},
		} {
			if err := scan(); !errors.Is(err, kv.ErrCorrupt) {
				t.Errorf("scan: %v", err)
			}
			if v, err := r.Get(bucketB, []byte("elsewhere")); string(v) != "is well" {
				t.Errorf("elsewhere: %q, %v", v, err)
			}
			for p, err := range r.Scan(bucketB, nil, nil) {
				if string(p.Value) != "is well" {
					t.Errorf("a scan elsewhere: %q, %v", p.Value, err)
				}
			}
		}
		return nil
	})
	must(t, err)
	_ = s.Close()
}
