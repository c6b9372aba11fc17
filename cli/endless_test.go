package cli_test

import (
	"bytes"
	"io"
	"os"
	"testing"
)

// An endless reader gives one line without end, up to a bound that keeps a failing test from filling the disk.
type endless struct{ left, given int64 }

func (r *endless) Read(b []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n := copy(b, bytes.Repeat([]byte("x"), int(min(int64(len(b)), r.left))))
	r.left -= int64(n)
	r.given += int64(n)
	return n, nil
}

// TestEndlessInput: of what comes through a pipe no more is put aside, on the disk of the file, than --max-bytes lets in.
func TestEndlessInput(t *testing.T) {
	onBothRoutes(t, func(t *testing.T, b *bench, hold func()) {
		b.run(0, "init")
		if err := os.WriteFile(b.dir+"/dump.json", []byte("[]"), 0o600); err != nil {
			t.Fatal(err)
		}
		hold()
		for _, args := range [][]string{
			{"import", "htpasswd", "-", "--max-bytes", "100000"},
			{"import", "htpasswd", "/dev/stdin", "--max-bytes", "100000"},
			{"import", "django", "-", "--max-bytes", "100000"},
			{"import", "django", "/dev/stdin", "--max-bytes", "100000"},
			{"import", "django", "dump.json", "--secret-key-file", "/dev/stdin"},
			{"import", "django", "dump.json", "--sessions", "-", "--max-bytes", "100000"},
		} {
			in := &endless{left: 64 << 20}
			b.runWith(in, 4, args...)
			// Pipes and buffers on the way hold some.
			if in.given > 8<<20 {
				t.Errorf("%v took %d bytes", args, in.given)
			}
		}
	})
}
