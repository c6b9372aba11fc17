package record_test

import (
	"encoding/binary"
	"runtime"
	"testing"

	"github.com/latchbolt-go/latchbolt/internal/record"
)

// TestCVE_2020_15106: a length that a record claims costs nothing and reads nothing behind the end, also where
// the checksum is right.
func TestCVE_2020_15106(t *testing.T) {
	key := []byte("k")
	good := sealed(t, "user", key)
	body := good[1 : len(good)-4]
	if _, err := record.Open("user", key, reseal(t, key, body), 1); err != nil {
		t.Fatal(err)
	}
	var m0, m1 runtime.MemStats
	runtime.ReadMemStats(&m0)
	refused := 0
	for _, claimed := range []uint32{0, 1, 2, 3, 4, 100, 1 << 16, 1<<24 - 1, 1 << 31, 1<<32 - 1} {
		for at := range len(body) {
			b := append([]byte(nil), body...)
			var n [4]byte
			binary.BigEndian.PutUint32(n[:], claimed)
			copy(b[at:], n[:])
			if err := read("user", key, reseal(t, key, b)); err != nil {
				refused++
			}
			b = append([]byte(nil), body[:at]...)
			b = append(b, n[:]...)
			r, err := record.Open("user", key, reseal(t, key, b), 1)
			if err != nil {
				continue
			}
			for range 4 {
				if s := r.String(); len(s) > len(b) {
					t.Fatalf("%d bytes were read of %d", len(s), len(b))
				}
			}
			if rest := r.Rest(); len(rest) > len(b) {
				t.Fatalf("%d bytes are left of %d", len(rest), len(b))
			}
		}
	}
	runtime.ReadMemStats(&m1)
	if got := m1.TotalAlloc - m0.TotalAlloc; got > 8<<20 {
		t.Errorf("%d bytes were allocated", got)
	}
	if refused < 100 {
		t.Errorf("only %d records were refused", refused)
	}
}

// reseal frames a body with a checksum that is right.
func reseal(t *testing.T, key, body []byte) []byte {
	t.Helper()
	b := record.New(1)
	b.AddBytes(body)
	v, err := b.Seal("user", key)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
