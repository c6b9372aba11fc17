package latchbolt_test

import (
	"context"
	"fmt"
	"os"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/testsize"
)

const bulkHash = "pbkdf2_sha256$870000$NaCl0123456789abcdefgh$JLgg96RkYmfpY4oRamdktA7Mco8w9WGxzxafx3XIWvo="

// loadedAtOnce is how many users a load of TestLoadKilled has.
const loadedAtOnce = 3000

// loadUsers inserts users from to below to, each in a group of some.
func loadUsers(l *latchbolt.Loader, from, to int, groups []latchbolt.GroupID) error {
	h, err := latchbolt.ParsePasswordHash(bulkHash)
	if err != nil {
		return err
	}
	joined := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := from; i < to; i++ {
		name := fmt.Sprintf("user%08d", i)
		u := latchbolt.User{Username: name, Email: name + "@example.org", FirstName: "Ada", LastName: "Lovelace", DateJoined: joined}
		if len(groups) > 0 {
			u.Groups = groups[i%len(groups) : i%len(groups)+1]
		}
		if err := l.InsertUser(&u, h); err != nil {
			return err
		}
	}
	return nil
}

// peakHeap notes the most memory that objects took, and returns it when it is called.
func peakHeap() func() uint64 {
	stop, peak := make(chan bool), make(chan uint64)
	go func() {
		s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		var most uint64
		for {
			metrics.Read(s)
			most = max(most, s[0].Value.Uint64())
			select {
			case <-stop:
				peak <- most
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	return func() uint64 {
		stop <- true
		return <-peak
	}
}

// TestLoadMillion loads a million users and holds the load to its promises of size and memory.
func TestLoadMillion(t *testing.T) {
	n := testsize.Of(20_000, 50_000)
	if os.Getenv("LATCHBOLT_LONG") != "" {
		n = 1_000_000
	}
	eng := open(t, nil)
	ctx := context.Background()
	var groups []latchbolt.GroupID
	for i := range 20 {
		g, err := eng.CreateGroup(ctx, fmt.Sprint("group ", i))
		must(t, "creating a group", err)
		groups = append(groups, g)
	}
	peak := peakHeap()
	start := time.Now()
	err := eng.Load(ctx, latchbolt.LoadOptions{}, func(l *latchbolt.Loader) error { return loadUsers(l, 0, n, groups) })
	took, most := time.Since(start), peak()
	must(t, "loading", err)
	s, err := eng.Stats()
	must(t, "stats", err)
	size := float64(s.FileSize) / float64(n)
	t.Logf("%d users in %v: %.0f/s, peak heap %.1f MiB, %.0f bytes each on disk", n, took.Round(time.Millisecond),
		float64(n)/took.Seconds(), float64(most)/(1<<20), size)
	if size > 370 {
		t.Errorf("%.0f bytes for each user; want at most 370", size)
	}
	if most > 128<<20 {
		t.Errorf("the heap grew to %d bytes", most)
	}
}
