package latchbolt_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
)

// What the file takes. LATCHBOLT_SPACE=1 runs the full sizes, in which times are judged too.

func spaceSize(everyday, ci, full int) int {
	switch {
	case os.Getenv("LATCHBOLT_SPACE") != "" || longTests:
		return full
	case os.Getenv("LATCHBOLT_CI") != "":
		return ci
	}
	return everyday
}

// TestExpiredSessionsGo fills a file with sessions that expire, sweeps them while others write, and compacts. Nobody waits long for the sweep, and
// the space comes back.
func TestExpiredSessionsGo(t *testing.T) {
	sessions := spaceSize(1_000, 20_000, 1_000_000)
	clock := newTestClock()
	eng := openAt(t, filepath.Join(fastDir(t), "app.db"), &latchbolt.Config{Clock: clock.now, SessionLimit: -1, SweepEvery: -1})
	u := addUser(t, eng, "ada")
	id, err := eng.Identity(t.Context(), u.ID)
	must(t, "identity", err)
	for _, err := range parallel(64, func(w int) error {
		for i := w; i < sessions; i += 64 {
			if _, err := eng.Login(t.Context(), id, latchbolt.LoginOptions{Lifetime: time.Duration(1+i%48) * time.Hour}); err != nil {
				return err
			}
		}
		return nil
	}) {
		must(t, "login", err)
	}
	full, err := eng.Stats()
	must(t, "stats", err)
	clock.advance(72 * time.Hour)
	done := make(chan struct{})
	var waits []time.Duration
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
			}
			began := time.Now()
			if err := eng.UpdateUser(t.Context(), u.ID, func(u *latchbolt.User) error { u.FirstName = fmt.Sprint("name ", i); return nil }); err != nil {
				t.Errorf("writing: %v", err)
				return
			}
			waits = append(waits, time.Since(began))
		}
	})
	began := time.Now()
	_, err = eng.Sweep(t.Context())
	took := time.Since(began)
	close(done)
	writer.Wait()
	must(t, "sweeping", err)
	left := 0
	must(t, "counting", eng.View(t.Context(), func(tx *latchbolt.ReadTx) (err error) { left, err = tx.SessionCount(); return err }))
	swept, err := eng.Stats()
	must(t, "stats", err)
	_, after, err := eng.Compact(t.Context())
	must(t, "compacting", err)
	longest := quantile(waits, 1)
	t.Logf("%d sessions: %d KiB; swept in %v beside %d writes, of which the longest took %v; after compaction %d KiB", sessions,
		full.FileSize>>10, took.Round(time.Millisecond), len(waits), longest, after>>10)
	if left != 0 {
		t.Errorf("%d sessions are left", left)
	}
	if live := swept.FileSize - swept.FreeBytes; after > 2*live {
		t.Errorf("%d KiB after compaction, of which %d KiB are in use", after>>10, live>>10)
	}
	if spaceSize(0, 0, 1) == 1 && !raceEnabled && longest > 50*time.Millisecond {
		t.Errorf("a writer waited %v", longest)
	}
}

// TestHeldReader: a View that is held, which only the program itself can do (exports put aside what they write), makes the file grow by what is written
// meanwhile and by no more, and the space is used again afterwards.
func TestHeldReader(t *testing.T) {
	commits := spaceSize(300, 1_500, 20_000)
	eng := openAt(t, filepath.Join(fastDir(t), "app.db"), &latchbolt.Config{SweepEvery: -1})
	u := addUser(t, eng, "ada")
	write := func(n int) {
		t.Helper()
		for i := range n {
			must(t, "writing", eng.UpdateUser(t.Context(), u.ID, func(u *latchbolt.User) error { u.FirstName = fmt.Sprint("name ", i); return nil }))
		}
	}
	size := func() int64 {
		t.Helper()
		info, err := os.Stat(eng.Path())
		must(t, "size", err)
		return info.Size()
	}
	write(commits)
	alone := size()
	held, release := make(chan struct{}), make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		ended <- eng.View(t.Context(), func(tx *latchbolt.ReadTx) error {
			close(held)
			<-release
			// It still sees the state in which it began.
			got, err := tx.User(u.ID)
			if err == nil && got.FirstName != fmt.Sprint("name ", commits-1) {
				err = errors.New("the reader sees " + got.FirstName)
			}
			return err
		})
	}()
	<-held
	write(commits - 1)
	beside := size()
	close(release)
	must(t, "the reader", <-ended)
	write(commits)
	after := size()
	t.Logf("%d commits: %d KiB alone, %d KiB beside a reader, %d KiB after as many more", commits, alone>>10, beside>>10, after>>10)
	// bbolt with its freelist in each commit grows as the square of the commits: 769 MiB for 2,400. Here a commit costs the pages that it writes.
	if grown := beside - alone; grown > int64(commits)*64<<10+8<<20 {
		t.Errorf("the file grew by %d KiB in %d commits", grown>>10, commits)
	}
	if after > beside+4<<20 {
		t.Errorf("space is not used again: %d KiB after %d KiB", after>>10, beside>>10)
	}
}
