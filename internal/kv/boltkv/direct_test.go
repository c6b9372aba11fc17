package boltkv_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/latchbolt-go/latchbolt/internal/kv"
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
	noticed, right := 0, 0
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
				if string(v) == fmt.Sprint("value ", i) {
					right++
				}
				return err
			})
			switch {
			case errors.Is(err, kv.ErrCorrupt):
				noticed++
			case err != nil:
				t.Fatal(err)
			}
		}
		_ = s.Close() // it may say that it is damaged
		_, err = f.WriteAt(sound, 0)
		must(t, errors.Join(err, f.Truncate(int64(len(sound))), f.Close()))
	}
	if noticed < 30 || right < 500 {
		t.Errorf("%d times the damage was noticed, %d times the value was right", noticed, right)
	}
}
