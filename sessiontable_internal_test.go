package latchbolt

import (
	"encoding/binary"
	"testing"
	"time"
)

// collidingToken is a token whose places in a table are the same as those of all others with the same low.
func collidingToken(low, n uint64) (Token, *sessionRecord) {
	tok, rec := tableToken(n)
	binary.BigEndian.PutUint64(tok.sel[:8], n)
	binary.BigEndian.PutUint64(tok.sel[8:], low)
	return tok, rec
}

func TestNoteDue(t *testing.T) {
	for _, c := range []struct {
		since, idle time.Duration
		want        bool
	}{
		{0, 0, false}, {time.Minute - 1, 0, false}, {time.Minute, 0, true}, {time.Hour, 0, true},
		{59 * time.Second, time.Hour, false}, {time.Minute, time.Hour, true}, {time.Minute - 1, 10 * time.Minute, false}, {time.Minute, 10 * time.Minute, true},
		{6*time.Second - 1, time.Minute, false}, {6 * time.Second, time.Minute, true}, {0, time.Nanosecond, true}, {30 * time.Second, 5 * time.Minute, true}, {30*time.Second - 1, 5 * time.Minute, false},
	} {
		if got := noteDue(c.since, c.idle); got != c.want {
			t.Errorf("%v after the last, idle time %v: %v", c.since, c.idle, got)
		}
		hit := sessionHit{seen: 1000, idle: c.idle}
		if got := hit.due(1000 + int64(c.since)); got != c.want {
			t.Errorf("a hit %v after the last, idle time %v: %v", c.since, c.idle, got)
		}
	}
}

// TestHalvesOfASelector: both halves decide, and a free slot's is none.
func TestHalvesOfASelector(t *testing.T) {
	sel := selector{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	if low, high := sel.halves(); low != 0x090a0b0c0d0e0f10 || high != 0x0102030405060708 {
		t.Errorf("%x %x", low, high)
	}
	var table sessionTable
	table.init(10)
	tok, rec := tableToken(1)
	table.insert(&tok, rec, 1, 2)
	other := tok
	other.sel[0] ^= 1
	if table.lookup(&other, 0, new(sessionHit)) {
		t.Error("found by half of the selector")
	}
	table.remove(other.sel)
	if !table.lookup(&tok, 0, new(sessionHit)) || table.count != 1 {
		t.Error("removed by half of the selector")
	}
	none, rec := tableToken(2)
	clear(none.sel[8:])
	table.insert(&none, rec, 1, 2)
	if table.lookup(&none, 0, new(sessionHit)) || table.count != 1 {
		t.Errorf("a session whose half marks a free slot is kept; %d are", table.count)
	}
	var empty sessionTable
	if empty.lookup(&tok, 0, new(sessionHit)) {
		t.Error("found in a table that is off")
	}
	empty.remove(tok.sel)
}

// TestCollidingSessions: more sessions than have room in the places that they share. The table grows as far as makes sense, and then one takes
// the place of another.
func TestCollidingSessions(t *testing.T) {
	var table sessionTable
	const limit = 16
	table.init(limit)
	for n := uint64(1); n <= 40; n++ {
		tok, rec := collidingToken(5, n)
		table.insert(&tok, rec, uint32(n*3), uint8(n))
		var hit sessionHit
		if !table.lookup(&tok, 0, &hit) {
			t.Fatalf("session %d is not there right after it was inserted", n)
		}
		wantHit(t, &hit, n)
		occupied, a := 0, table.slots.Load()
		for i := range a.len() {
			if s := a.slot(i); s[wordSelLow].Load() != 0 {
				occupied++
			}
			if seq := a.slot(i)[wordSeq].Load(); seq&1 != 0 {
				t.Fatal("a slot is left as if it was being written")
			}
		}
		if occupied != table.count || occupied > 2*perBucket || n <= perBucket && occupied != int(n) {
			t.Fatalf("after %d sessions %d slots are in use, counted %d", n, occupied, table.count)
		}
		if n <= perBucket && a.buckets != minBuckets {
			t.Errorf("%d sessions have %d buckets, want %d", n, a.buckets, minBuckets)
		}
		if n > 2*perBucket && a.buckets != table.most() {
			t.Errorf("%d sessions in the same places have %d buckets, want %d", n, a.buckets, table.most())
		}
	}
	table.clear()
	if table.count != 0 || table.slots.Load().buckets != minBuckets {
		t.Errorf("after clear: %d sessions, %d buckets", table.count, table.slots.Load().buckets)
	}
	tok, rec := collidingToken(5, 1)
	table.insert(&tok, rec, 3, 1)
	if table.count != 1 {
		t.Errorf("%d sessions", table.count)
	}
}

// TestTableIsBounded: the table holds its limit and no more, and pushes out one for each that comes.
func TestTableIsBounded(t *testing.T) {
	for _, limit := range []int{1, 2, 7, 64} {
		var table sessionTable
		table.init(limit)
		for n := range uint64(3 * limit) {
			tok, rec := tableToken(n)
			table.insert(&tok, rec, 1, 1)
			if want := min(int(n)+1, limit); table.count > want || table.count < want-1 { // one can be lost to a collision
				t.Errorf("limit %d: %d sessions after %d", limit, table.count, n+1)
			}
			table.insert(&tok, rec, 1, 1)
			if !table.lookup(&tok, 0, new(sessionHit)) {
				t.Errorf("limit %d: gone after it was inserted again", limit)
			}
		}
	}
}

// TestLookupLooksAtTheTime: to the nanosecond.
func TestLookupLooksAtTheTime(t *testing.T) {
	var table sessionTable
	table.init(10)
	tok, rec := tableToken(1)
	rec.seen, rec.expires, rec.idle = time.Unix(100, 0), time.Unix(1000, 0), time.Minute
	table.insert(&tok, rec, 1, 1)
	ask := func(at time.Time) bool { return table.lookup(&tok, at.UnixNano(), new(sessionHit)) }
	if !ask(time.Unix(160, -1)) || ask(time.Unix(160, 0)) {
		t.Error("the idle time is not exact")
	}
	var hit sessionHit
	table.lookup(&tok, 0, &hit)
	table.noted(&hit, time.Unix(980, 0).UnixNano())
	table.noted(&hit, time.Unix(500, 0).UnixNano()) // late, and earlier
	if !ask(time.Unix(1000, -1)) || ask(time.Unix(1000, 0)) {
		t.Error("the end is not exact")
	}
	rec.idle = 0
	table.insert(&tok, rec, 1, 1)
	if !ask(time.Unix(1000, -1)) || ask(time.Unix(1000, 0)) {
		t.Error("the end is not exact without an idle time")
	}
	table.noted(&hit, time.Unix(990, 0).UnixNano())
	if table.lookup(&tok, 0, &hit); hit.seen != rec.seen.UnixNano() {
		t.Error("a use was noted for a session that was written since")
	}
	for i := range tok.ver {
		wrong := tok
		wrong.ver[i] ^= 0x80
		if table.lookup(&wrong, 0, new(sessionHit)) {
			t.Errorf("byte %d of the secret does not count", i)
		}
	}
}

// TestEndedSessionsOfAUser: all of one user, and of no other.
func TestEndedSessionsOfAUser(t *testing.T) {
	var table sessionTable
	table.init(50)
	for n := range uint64(40) {
		tok, rec := tableToken(n)
		table.insert(&tok, rec, 1, 1)
	}
	table.removeUser(3)
	for n := range uint64(40) {
		tok, rec := tableToken(n)
		if got := table.lookup(&tok, 0, new(sessionHit)); got != (rec.user != 3) {
			t.Errorf("session %d of user %d is there: %v", n, rec.user, got)
		}
	}
	if table.count != 32 {
		t.Errorf("%d sessions are left", table.count)
	}
}
