package cli_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
)

// TestSlowReader: who takes the end of a long output slowly, as a pager does, gets the end of the command all the same.
func TestSlowReader(t *testing.T) {
	t.Parallel() // most of it is waiting
	sh := &shell{privateDir(t) + "/app.db", config(), true}
	oneUser(t, sh.path)
	users := 0
	add := func(n int) (size int) {
		eng, err := latchbolt.Open(sh.path, config())
		if err != nil {
			t.Fatal(err)
		}
		err = eng.Update(context.Background(), func(tx *latchbolt.Tx) error {
			for i := range n {
				u := latchbolt.User{Username: fmt.Sprintf("u%04d", users+i), FirstName: strings.Repeat("x", 150)}
				if err := tx.InsertUser(&u, latchbolt.PasswordHash{}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := eng.Close(); err != nil {
			t.Fatal(err)
		}
		users += n
		return len(sh.want(t, 0, "", "export", "ndjson"))
	}
	// Output is sent in pieces of 32 KiB. The last one is to be nearly as long, so that with it the socket is full.
	const piece = 32 << 10
	size := add(1000)
	line := size / 1000
	for try := 0; try < 9 && (try == 0 || size%piece < piece-3*line); try++ { // lines differ in length a little
		size = add(max(1, (piece-size%piece)/line))
	}
	if last := size % piece; size < 10*piece || last < piece-3*line {
		t.Fatalf("the output has %d bytes, the last piece %d", size, last)
	}

	sh.serve(t)
	p := connect(t, sh.path+".sock")
	p.hello("export", "ndjson")
	got, slept := 0, false
	for {
		kind, b := p.next()
		if kind == 'x' {
			if b != "" || got != size {
				t.Errorf("the command ended after %d of %d bytes: %s", got, size, b)
			}
			return
		}
		if kind == 'o' {
			got += len(b)
		}
		if !slept && size-got <= 7*piece { // as much as waits in a socket of Linux
			slept = true
			time.Sleep(2500 * time.Millisecond)
		}
	}
}
