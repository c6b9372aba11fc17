package latchbolt

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// A sessionTable finds a living session by its token without taking a lock,
// without hashing and without pointers.
//
// It is a table of buckets of four slots of eight-byte words; a session stands in one of two
// buckets, in the emptier one when it came. So the table can be three quarters full. Readers check a
// slot's sequence number before and after they read it (a seqlock); writers,
// which hold cache.mu, make it odd while they write. All words are
// atomics, so that the race detector agrees with the argument. The places of a session come
// from the random end of its selector, which this program chose: nobody outside can
// make sessions collide.
//
// The table holds the secret halves of tokens themselves, not their hashes,
// and compares all of them, in constant time. What that gives away to somebody
// who can read the memory of the process is in docs/SECURITY.md.
type sessionTable struct {
	limit int    // most sessions
	count int    // guarded by cache.mu
	hand  uint64 // where the search for a victim goes on; guarded by cache.mu
	slots atomic.Pointer[slotArray]
}

// A slotArray is a number of buckets of slots.
type slotArray struct {
	buckets uint64
	words   []atomic.Uint64
}

// The words of a slot.
const (
	wordSeq     = iota
	wordSelLow  // the selector's random half; 0 if the slot is free
	wordSelHigh // its other half
	wordSecret  // four words
	_
	_
	_
	wordExpires // nanoseconds since 1970
	wordSeen    // the last use that was noted for the file, in nanoseconds since 1970
	wordLimits  // idle time in seconds, generation of the user
	wordOwner   // cell of the user, number of the backend
	wordUser
	slotWords
)

const (
	perBucket  = 4
	minBuckets = 2
)

func (t *sessionTable) init(limit int) {
	t.limit = limit
	t.slots.Store(newSlots(minBuckets))
}

func newSlots(buckets uint64) *slotArray {
	return &slotArray{buckets: buckets, words: make([]atomic.Uint64, buckets*perBucket*slotWords)}
}

// most is how many buckets the table grows to. One slot in four or five stays free, so that of
// a hundred sessions that are put into a full table one or two find no free slot.
func (t *sessionTable) most() uint64 {
	return max((uint64(t.limit)*13/10+perBucket-1)/perBucket, minBuckets)
}

// len is how many slots there are.
func (a *slotArray) len() uint64 { return a.buckets * perBucket }

func (a *slotArray) slot(n uint64) []atomic.Uint64 {
	i := n * slotWords
	return a.words[i : i+slotWords : i+slotWords]
}

// homes returns the numbers of the first slots of the two buckets in which a session may stand. Of the
// low half of a selector the lower bits are random; the multipliers, odd and without a pattern, carry them upwards.
func (a *slotArray) homes(low uint64) [2]uint64 {
	one, _ := bits.Mul64(low*0x9e3779b97f4a7c15, a.buckets)
	two, _ := bits.Mul64(low*0xd6e8feb86659fd93, a.buckets)
	return [2]uint64{one * perBucket, two * perBucket}
}

// halves returns the two words of a selector. A low half of 0 marks a free
// slot; a session that has it by chance, one in 2^64, is not kept.
func (s *selector) halves() (low, high uint64) {
	return binary.BigEndian.Uint64(s[8:]), binary.BigEndian.Uint64(s[:8])
}

// A sessionHit is what the table says about a session.
type sessionHit struct {
	slot    []atomic.Uint64
	array   *slotArray
	seq     uint64
	user    UserID
	cell    uint32
	backend uint8
	gen     uint32
	ends    int64 // if it is not used until then
	seen    int64
	idle    time.Duration
}

// lookup finds the living session of a token at a time in nanoseconds.
func (t *sessionTable) lookup(tok *Token, now int64, hit *sessionHit) bool {
	a := t.slots.Load()
	if a == nil {
		return false
	}
	low, high := tok.sel.halves()
	if low == 0 {
		return false
	}
	for _, home := range a.homes(low) {
		for n := home; n < home+perBucket; n++ {
			if s := a.slot(n); s[wordSelLow].Load() == low && s[wordSelHigh].Load() == high {
				return t.read(a, s, tok, now, hit)
			}
		}
	}
	return false
}

// read makes a hit of the slot that has the selector of a token.
func (t *sessionTable) read(a *slotArray, s []atomic.Uint64, tok *Token, now int64, hit *sessionHit) bool {
	seq := s[wordSeq].Load()
	// One expression over all 256 bits: no early end tells how many agree.
	diff := s[wordSecret].Load() ^ binary.LittleEndian.Uint64(tok.ver[0:])
	diff |= s[wordSecret+1].Load() ^ binary.LittleEndian.Uint64(tok.ver[8:])
	diff |= s[wordSecret+2].Load() ^ binary.LittleEndian.Uint64(tok.ver[16:])
	diff |= s[wordSecret+3].Load() ^ binary.LittleEndian.Uint64(tok.ver[24:])
	if diff != 0 {
		return false
	}
	ends := int64(s[wordExpires].Load())
	seen, limits := int64(s[wordSeen].Load()), s[wordLimits].Load()
	idle := time.Duration(limits>>32) * time.Second
	if idle != 0 {
		ends = min(ends, seen+int64(idle))
	}
	if now >= ends {
		return false
	}
	owner := s[wordOwner].Load()
	*hit = sessionHit{slot: s, array: a, seq: seq, user: UserID(s[wordUser].Load()),
		cell: uint32(owner >> 32), backend: uint8(owner), gen: uint32(limits), ends: ends, seen: seen, idle: idle}
	// The selector is read again with the rest: the slot may have changed hands.
	low, high := tok.sel.halves()
	return seq&1 == 0 && s[wordSelLow].Load() == low && s[wordSelHigh].Load() == high && t.still(hit)
}

// still reports whether a hit is unchanged since it was looked up.
func (t *sessionTable) still(hit *sessionHit) bool {
	return hit.slot[wordSeq].Load() == hit.seq && t.slots.Load() == hit.array
}

// noteEvery is how much use of one session makes one write. What was not noted does
// not count, in memory as in the file, so that both give the same answers.
const noteEvery = time.Minute

// noteDue reports whether a use of a session is to be noted, after the time since the last one
// that was. A session with a short idle time has it noted more often, or it would end while
// it is in use.
func noteDue(since, idle time.Duration) bool {
	if idle > 0 {
		return since >= min(noteEvery, idle/10)
	}
	return since >= noteEvery
}

// due reports whether the use that made the hit is to be noted.
func (hit *sessionHit) due(now int64) bool { return noteDue(time.Duration(now-hit.seen), hit.idle) }

// noted puts a use into the table that the file is going to be told of. cache.mu is held.
func (t *sessionTable) noted(hit *sessionHit, now int64) {
	if t.still(hit) && int64(hit.slot[wordSeen].Load()) < now {
		hit.slot[wordSeen].Store(uint64(now))
	}
}

// writeSlot fills a slot. cache.mu is held.
func writeSlot(s []atomic.Uint64, words *[slotWords]uint64) {
	s[wordSeq].Add(1)
	for i := 1; i < slotWords; i++ {
		s[i].Store(words[i])
	}
	s[wordSeq].Add(1)
}

// insert puts a session into the table. cache.mu is held.
func (t *sessionTable) insert(tok *Token, rec *sessionRecord, cell uint32, backend uint8) {
	low, high := tok.sel.halves()
	if low == 0 {
		return
	}
	var w [slotWords]uint64
	w[wordSelLow], w[wordSelHigh] = low, high
	for i := range 4 {
		w[wordSecret+i] = binary.LittleEndian.Uint64(tok.ver[8*i:])
	}
	w[wordExpires] = uint64(rec.expires.UnixNano())
	w[wordSeen] = uint64(rec.seen.UnixNano())
	w[wordLimits] = uint64(rec.idle/time.Second)<<32 | uint64(rec.generation)
	w[wordOwner] = uint64(cell)<<32 | uint64(backend)
	w[wordUser] = uint64(rec.user)
	t.remove(tok.sel)
	t.place(&w)
}

// place finds a slot: a free one, one more after growing, or that of another session.
func (t *sessionTable) place(w *[slotWords]uint64) {
	if t.count >= t.limit {
		t.evict()
	}
	for {
		a := t.slots.Load()
		if 4*uint64(t.count) >= 3*a.len() && t.grow() {
			continue
		}
		if s := a.free(w[wordSelLow]); s != nil {
			writeSlot(s, w)
			t.count++
			return
		}
		if !t.grow() {
			// Any of the slots will do: all of them were inserted by somebody with a
			// good token, and a session that is pushed out costs one read of the file.
			n := a.homes(w[wordSelLow])[rand.IntN(2)] + rand.Uint64N(perBucket)
			writeSlot(a.slot(n), w)
			return
		}
	}
}

// evict takes one session out, of a table that is not empty. The places are
// random already, so the next one round is as good as any.
func (t *sessionTable) evict() {
	a := t.slots.Load()
	for range a.len() {
		t.hand = (t.hand + 1) % a.len()
		if s := a.slot(t.hand); s[wordSelLow].Load() != 0 {
			writeSlot(s, new([slotWords]uint64))
			t.count--
			return
		}
	}
}

// free returns a free slot for a session, in the emptier of its buckets, or nil.
func (a *slotArray) free(low uint64) (best []atomic.Uint64) {
	most := 0
	for _, home := range a.homes(low) {
		var first []atomic.Uint64
		free := 0
		for n := home; n < home+perBucket; n++ {
			if s := a.slot(n); s[wordSelLow].Load() == 0 {
				if free++; first == nil {
					first = s
				}
			}
		}
		if free > most {
			most, best = free, first
		}
	}
	return best
}

// grow doubles the table. It reports false if it is as large as it may be.
func (t *sessionTable) grow() bool {
	old := t.slots.Load()
	if old.buckets >= t.most() {
		return false
	}
	bigger := newSlots(min(2*old.buckets, t.most()))
	t.count = 0
	for n := range old.len() {
		s := old.slot(n)
		if s[wordSelLow].Load() == 0 {
			continue
		}
		var w [slotWords]uint64
		for i := 1; i < slotWords; i++ {
			w[i] = s[i].Load()
		}
		if to := bigger.free(w[wordSelLow]); to != nil {
			writeSlot(to, &w)
			t.count++
		}
	}
	// A reader of the old array notices by the pointer that it is too late.
	t.slots.Store(bigger)
	return true
}

// remove takes a session out. cache.mu is held.
func (t *sessionTable) remove(sel selector) {
	a := t.slots.Load()
	if a == nil {
		return
	}
	low, high := sel.halves()
	for _, home := range a.homes(low) {
		for n := home; n < home+perBucket; n++ {
			if s := a.slot(n); s[wordSelLow].Load() == low && s[wordSelHigh].Load() == high {
				writeSlot(s, new([slotWords]uint64))
				t.count--
			}
		}
	}
}

// clear takes all sessions out, and lets go of the memory. cache.mu is held.
func (t *sessionTable) clear() {
	t.count = 0
	t.slots.Store(newSlots(minBuckets))
}

// removeUser takes all sessions of a user out. It looks at every slot. cache.mu is held.
func (t *sessionTable) removeUser(id UserID) {
	a := t.slots.Load()
	for n := range a.len() {
		if s := a.slot(n); s[wordSelLow].Load() != 0 && s[wordUser].Load() == uint64(id) {
			writeSlot(s, new([slotWords]uint64))
			t.count--
		}
	}
}
