package boltkv

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// TestBehindWriter writes pieces of all lengths and compares; and a file that cannot be written to has to be told of.
func TestBehindWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for _, size := range []int{1, 7, 64, 4096} {
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		w := newBehindWriter(f, size)
		rng := rand.New(rand.NewPCG(1, uint64(size)))
		var want []byte
		for range 300 {
			p := make([]byte, rng.IntN(3*size))
			for i := range p {
				p[i] = byte(rng.Uint32())
			}
			want = append(want, p...)
			if n, err := w.Write(p); n != len(p) || err != nil {
				t.Fatal(n, err)
			}
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		w.close()
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("buffers of %d: %d bytes, want %d, or others; %v", size, len(got), len(want), err)
		}
	}
	f, err := os.Open(path) // for reading
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := newBehindWriter(f, 16)
	failed := 0
	for range 100 {
		if _, err := w.Write(make([]byte, 10)); err != nil {
			failed++
		}
	}
	if err := w.Flush(); err == nil || failed == 0 {
		t.Errorf("nothing could be written: %d calls failed, and Flush returned %v", failed, err)
	}
	w = newBehindWriter(f, 16)
	_, _ = w.Write([]byte("less than a buffer"))
	if err := w.Flush(); err == nil {
		t.Error("nothing could be written, and Flush returned nothing")
	}
	newBehindWriter(f, 16).close() // leaves no goroutine
}
