package damagetest

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
)

// TestDamagedWhileOpen damages a file that an Engine has open already, so that nobody looked at it since: what was allowed before may fail, and
// nothing else is allowed, whether the cache is warm or not; and a session that was ended is ended, wherever its record went.
// LATCHBOLT_DAMAGE_OPEN tells how many files. It is a way to look for defects and no promise yet; docs/SECURITY.md says
// what it still finds.
func TestDamagedWhileOpen(t *testing.T) {
	text := os.Getenv("LATCHBOLT_DAMAGE_OPEN")
	if text == "" {
		t.Skip("SKIPPED: LATCHBOLT_DAMAGE_OPEN tells how many open files are to be damaged")
	}
	cases, err := strconv.Atoi(text)
	must(t, err)
	s := seed(t)
	dir := scratch(t)
	spec := makeSpecimen(t, dir, rand.New(rand.NewPCG(s, 1)))
	spec.Answers = spec.askCopy(t, closedFile).answers
	noticed, different, ended := 0, 0, 0
	for n := range cases {
		rng := rand.New(rand.NewPCG(s, uint64(n)))
		file := []string{closedFile, killedFile}[n/2%2]
		sound, err := os.ReadFile(filepath.Join(dir, file))
		must(t, err)
		name, do := draw(rng, *onlyFlag)
		data, detail := do(rng, bytes.Clone(sound))
		for range rng.IntN(4) { // more of it
			if len(data) == len(sound) {
				_, do := draw(rng, "bit")
				data, _ = do(rng, data)
			}
		}
		old := false // Open alone can tell that, where it can; see TestOldCopies
		for _, c := range oldCopies(sound) {
			old = old || len(data) >= c.at+8 && binary.NativeEndian.Uint64(data[c.at:]) == uint64(c.old)
		}
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			path := filepath.Join(dir, fmt.Sprintf("open%d.db", n))
			must(t, os.WriteFile(path, sound, 0o600))
			e, err := latchbolt.Open(path, config(false))
			must(t, err)
			if n%2 == 0 {
				spec.ask(ctx, e)
			}
			damageInPlace(t, path, data)
			q := spec.ask(ctx, e)
			if q.untyped != nil {
				t.Errorf("%v", q.untyped)
			}
			if q.noticed != nil {
				noticed++
			}
			if spec.differs(q) != "" {
				different++
			}
			for _, w := range spec.wider(q) {
				if !old {
					t.Errorf("is allowed, and was not: %s", w)
				}
			}
			for _, token := range spec.Sessions {
				k, err := latchbolt.ParseToken(token)
				must(t, err)
				if e.Logout(ctx, k) != nil {
					continue
				}
				if _, err := e.SessionUser(ctx, k); err == nil && !old {
					t.Errorf("a session was ended and is alive")
				}
				ended++
			}
			closeErr := e.Close()
			if err := closeErr; err != nil && !typed(err) {
				t.Errorf("Close: %v", err)
			}
			must(t, os.WriteFile(path, sound, 0o600))
			e, err = latchbolt.Open(path, config(false))
			if err != nil {
				t.Errorf("Close said %v, and then: %v", closeErr, err)
				return
			}
			must(t, e.Close())
			must(t, os.Remove(path))
			if t.Failed() {
				t.Logf("%s, %s: %s", file, name, detail)
			}
		})
	}
	t.Logf("%d noticed, %d with other answers, %d sessions ended", noticed, different, ended)
	if *onlyFlag == "" && (noticed < cases/4 || ended < cases) {
		t.Errorf("%d of %d were noticed, %d sessions ended: this tests nothing", noticed, cases, ended)
	}
}

// damageInPlace makes the content of an open file another one.
func damageInPlace(t *testing.T, path string, data []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	_, err = f.WriteAt(data, 0)
	must(t, err)
	must(t, f.Truncate(int64(len(data))))
	must(t, f.Close())
}
