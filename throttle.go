package latchbolt

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// ThrottleConfig slows down guessing, for each account and for each address
// it comes from. After Free failures in a row each further one doubles the
// time in which attempts are not even looked at, from First up to Max. One
// right password forgives all, and no account is locked for ever. The counts
// are in the file, so a restart forgives nothing.
type ThrottleConfig struct {
	// Free is how many failures in a row cost nothing. 0 means 5; negative
	// does not count by account, which NIST SP 800-63B-4 (3.2.2) does not allow
	// for a system that people rely on. Addresses are counted all the same, see SourceFree.
	Free int
	// First is the first delay. 0 means 1 s.
	First time.Duration
	// Max is the longest delay. 0 means 15 min.
	Max time.Duration
	// SourceFree is how many failures in a row one address may have, of any
	// accounts. 0 means 50; negative does not count addresses. IPv6 addresses
	// count by their first 64 bits.
	SourceFree int
	// Forget is the time after which a failure no longer counts. 0 means 24 h.
	Forget time.Duration
}

func (c *ThrottleConfig) setDefaults() {
	orDefault(&c.Free, 5)
	orDefault(&c.First, time.Second)
	orDefault(&c.Max, 15*time.Minute)
	orDefault(&c.SourceFree, 50)
	orDefault(&c.Forget, 24*time.Hour)
}

// Names that nobody has, and addresses, share a fixed number of slots: however
// many are tried, the file does not grow beyond them, and the counter of an
// existing account, which has a record of its own, is never pushed out. A slot
// remembers whose it is; another name takes it over.
const (
	nameSlots   = 1 << 14
	sourceSlots = 1 << 14
)

// A throttle also counts attempts under way, so that many at once cannot get
// past the limit before the first of them is written down.
type throttle struct {
	cfg ThrottleConfig
	mu  sync.Mutex // guards the maps
	// running counts attempts under way.
	running map[throttleID]int
	written uint64 // failures that were moved from memory to the file so far
	// ended is closed, and replaced, when an attempt under way ends.
	ended   chan struct{}
	waiting int // attempts that wait for one under way
	// unwritten counts failures that are not in the file yet, and when the last one was.
	unwritten map[throttleID]unwritten
}

type unwritten struct {
	failures int
	last     time.Time
	// writes are the writes of failures that are under way, each with the number that the file has when it is committed. Between the commit
	// of one and the moment at which it is known here, its failure is in the file and among failures as well.
	writes map[*failureWrite]int
}

// A failureWrite is one write of a failure.
type failureWrite struct{ ids []throttleID }

// noNumber is the number of a write that does not put anything into the file.
const noNumber = -1

func (t *throttle) init(cfg ThrottleConfig) {
	t.cfg = cfg
	t.running = make(map[throttleID]int)
	t.ended = make(chan struct{})
	t.unwritten = make(map[throttleID]unwritten)
}

// pending returns how many failures the file does not know yet.
func (t *throttle) pending(id throttleID) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.unwritten[id].failures
}

// forgive forgets the failures of an account that the file does not know yet. Writes of
// them that are under way notice.
func (t *throttle) forgive(user UserID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.unwritten, throttleID{class: throttleUser, n: uint64(user)})
}

// maxUnwritten bounds the counters in memory, of which there are many only if writing fails.
const maxUnwritten = 1 << 16

// makeRoomLocked lets go of a counter of names that nobody has, or of sources. t.mu is held.
func (t *throttle) makeRoomLocked() {
	if len(t.unwritten) < maxUnwritten {
		return
	}
	for id := range t.unwritten {
		if id.class != throttleUser {
			delete(t.unwritten, id)
			return
		}
	}
}

// addPending adds a failure to those that are not written.
func (t *throttle) addPending(ids []throttleID, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, id := range ids {
		p := t.unwritten[id]
		if p.failures++; p.failures == 1 {
			t.makeRoomLocked()
		}
		if at.After(p.last) {
			p.last = at
		}
		t.unwritten[id] = p
	}
}

// writing notes how many failures of a counter the file has when a write is committed.
func (t *throttle) writing(w *failureWrite, id throttleID, number int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p, ok := t.unwritten[id]
	if !ok {
		return // it was forgiven
	}
	if p.writes == nil {
		p.writes = make(map[*failureWrite]int)
	}
	for other, n := range p.writes {
		if n == number { // that run was dropped, or the file has forgotten it
			p.writes[other] = noNumber
		}
	}
	p.writes[w] = number
	t.unwritten[id] = p
}

// wrote takes away the failure of a write from those that are not written, or if it failed, leaves it among them.
func (t *throttle) wrote(w *failureWrite, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		t.written++
	}
	for _, id := range w.ids {
		p := t.unwritten[id]
		_, known := p.writes[w]
		delete(p.writes, w)
		if !known || err != nil {
			continue // those that were forgiven meanwhile are gone, and others may have come
		}
		if p.failures--; p.failures <= 0 {
			delete(t.unwritten, id)
			continue
		}
		t.unwritten[id] = p
	}
}

// A throttleID says whose failures are counted where.
type throttleID struct {
	class byte
	n     uint64 // user or slot
	print uint64 // of the name or source; 0 for a user
}

func (id throttleID) key() []byte { return throttleKey(id.class, id.n) }

// free is how many failures cost nothing.
func (t *throttle) free(id throttleID) int {
	if id.class == throttleSource {
		return t.cfg.SourceFree
	}
	return t.cfg.Free
}

// delay is how long attempts are refused after a number of failures in a row.
func (t *throttle) delay(failures, free int) time.Duration {
	over := failures - free
	if over < 0 || free < 0 {
		return 0
	}
	if over >= 63 || t.cfg.First >= t.cfg.Max>>over {
		return t.cfg.Max
	}
	return t.cfg.First << over
}

// ids returns whose counters an attempt belongs to: the account, whether it exists or not, and the source.
func (e *Engine) throttleIDs(user UserID, name string, addr netip.Addr) []throttleID {
	var ids []throttleID
	if e.throttle.cfg.Free >= 0 {
		id := e.throttleSlot(throttleName, e.canonicalName(name), nameSlots) // for an account too, so that it takes as long
		if user != 0 {
			id = throttleID{class: throttleUser, n: uint64(user)}
		}
		ids = append(ids, id)
	}
	if addr.IsValid() && e.throttle.cfg.SourceFree >= 0 {
		ids = append(ids, e.throttleSlot(throttleSource, sourceOf(addr), sourceSlots))
	}
	return ids
}

// throttleSlot hashes with a key that is in the file, so that nobody outside
// can choose names that share a slot.
func (e *Engine) throttleSlot(class byte, what string, slots uint64) throttleID {
	mac := hmac.New(sha256.New, e.meta.secret[:])
	mac.Write([]byte{class})
	mac.Write([]byte(what))
	sum := mac.Sum(nil)
	return throttleID{class: class, n: binary.BigEndian.Uint64(sum) % slots, print: binary.BigEndian.Uint64(sum[8:]) | 1}
}

// sourceOf is the part of an address that one client controls.
func sourceOf(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}

// A tally is what the file says of one counter.
type tally struct {
	failures int
	last     time.Time
}

// tally reads a counter: it is 0 if it belongs to somebody else by now or is forgotten.
func (tx *ReadTx) tally(id throttleID) (tally, error) {
	body, ok, err := tx.get(bucketThrottle, id.key())
	if err != nil || !ok {
		return tally{}, err
	}
	r, err := decodeThrottle(id.key(), &body)
	if err != nil || r.print != id.print || tx.now.Sub(r.last) > tx.e.throttle.cfg.Forget {
		return tally{}, err
	}
	return tally{int(r.failures), r.last}, nil
}

// end takes an attempt out of those under way, and lets those look again that wait.
func (t *throttle) end(ids []throttleID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, id := range ids {
		if t.running[id]--; t.running[id] <= 0 {
			delete(t.running, id)
		}
	}
	close(t.ended)
	t.ended = make(chan struct{})
}

// admit decides whether an attempt is looked at. It returns 0 and a function
// to call when the attempt is over, or how long to wait.
//
// However many come at once, no more than are free are looked at: an attempt is decided about in
// one step that sees those under way, the failures that are not written, and those that are. What is
// more than that waits for one under way to end, as they may all be right; [ErrBusy] bounds how many wait.
func (e *Engine) admit(ctx context.Context, ids []throttleID) (wait time.Duration, done func(), err error) {
	t := &e.throttle
	tallies := make([]tally, len(ids))
	for {
		written, ended := t.look()
		now := e.clock.now()
		if err := e.view(ctx, func(tx *ReadTx) (err error) {
			now = tx.now
			for i, id := range ids {
				if tallies[i], err = tx.tally(id); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return 0, nil, err
		}
		wait, verdict := t.decide(ids, tallies, now, written)
		switch verdict {
		case looked:
			return 0, func() { t.end(ids) }, nil
		case refused:
			return wait, nil, nil
		case crowded:
			if err := t.await(ctx, ended); err != nil {
				return 0, nil, err
			}
		case stale: // a failure moved from memory to the file meanwhile
		}
	}
}

type admission uint8

const (
	looked admission = iota
	refused
	crowded
	stale
)

// look returns how many failures were moved to the file so far, and a channel that is closed when an attempt ends.
func (t *throttle) look() (written uint64, ended <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.written, t.ended
}

// decide judges an attempt by what the file said after written failures were moved to
// it, and counts the attempt as under way if it is looked at.
func (t *throttle) decide(ids []throttleID, tallies []tally, now time.Time, written uint64) (wait time.Duration, v admission) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.written != written {
		return 0, stale
	}
	for i, id := range ids {
		free := t.free(id)
		n, last := tallies[i].with(t.unwritten[id], now.Add(-t.cfg.Forget))
		wait = max(wait, t.left(n, free, last, now))
		// Beyond the free failures one attempt at a time is looked at.
		if running := t.running[id]; running > 0 && running+n >= max(free, 1) {
			v = crowded
		}
	}
	if wait > 0 {
		return wait, refused
	}
	if v == crowded {
		return 0, v
	}
	for _, id := range ids {
		t.running[id]++
	}
	return 0, looked
}

// with adds the failures that are not written yet, unless the last of them was before a time.
func (c tally) with(p unwritten, since time.Time) (n int, last time.Time) {
	if p.last.Before(since) {
		return c.failures, c.last
	}
	if p.last.After(c.last) {
		c.last = p.last
	}
	n = c.failures + p.failures
	for _, number := range p.writes {
		if number != noNumber && number <= c.failures {
			n-- // it is one of those in the file
		}
	}
	return n, c.last
}

// maxWaiting is how many attempts may wait for others of their account or source.
const maxWaiting = 256

// await waits for an attempt to end.
func (t *throttle) await(ctx context.Context, ended <-chan struct{}) error {
	t.mu.Lock()
	if t.waiting >= maxWaiting {
		t.mu.Unlock()
		return ErrBusy
	}
	t.waiting++
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		t.waiting--
		t.mu.Unlock()
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("latchbolt: waiting for other attempts: %w", ctx.Err())
	}
}

// left is how long attempts are refused from now on after n failures.
func (t *throttle) left(n, free int, last, now time.Time) time.Duration {
	if n < free {
		return 0
	}
	return max(last.Add(t.delay(n, free)).Sub(now), 0)
}

// countFailure counts a failure: at once in memory, where every attempt from
// now on sees it, and in the file with the next commit, for which nobody waits.
func (e *Engine) countFailure(ctx context.Context, ids []throttleID) {
	if len(ids) == 0 {
		return
	}
	w := &failureWrite{ids}
	e.throttle.addPending(ids, e.clock.now())
	e.later(ctx, "counting a failed login", func(tx *Tx) error { return tx.fail(w) },
		func(err error) { e.throttle.wrote(w, err) })
}

// fail writes a failure down that was counted in memory, unless it was forgiven
// meanwhile or its user is gone.
func (tx *Tx) fail(w *failureWrite) error {
	for _, id := range w.ids {
		if tx.e.throttle.pending(id) == 0 {
			continue
		}
		if id.class == throttleUser {
			there, err := tx.has(bucketUser, userKey(UserID(id.n)))
			if err != nil {
				return err
			}
			if !there {
				tx.e.throttle.writing(w, id, noNumber)
				continue
			}
		}
		c, err := tx.tally(id)
		if err != nil {
			return err
		}
		tx.e.throttle.writing(w, id, c.failures+1)
		r := &throttleRecord{print: id.print, failures: uint32(c.failures + 1), last: tx.now}
		if err := tx.put(bucketThrottle, id.key(), r.encode()); err != nil {
			return err
		}
	}
	return nil
}

// failed reports whether an account has failures to forgive.
func (tx *ReadTx) failed(user UserID) (bool, error) {
	if tx.e.throttle.pending(throttleID{class: throttleUser, n: uint64(user)}) > 0 {
		return true, nil
	}
	return tx.has(bucketThrottle, throttleKey(throttleUser, uint64(user)))
}

// forgive forgets the failures of an account. Those of a source are not
// forgiven by one right password: it may be the guesser's own.
func (tx *Tx) forgive(user UserID) error {
	tx.OnCommit(func() { tx.e.throttle.forgive(user) })
	return tx.delete(bucketThrottle, throttleKey(throttleUser, uint64(user)))
}

// Unlock forgets the failed attempts on a user's account.
func (e *Engine) Unlock(ctx context.Context, id UserID) error {
	return e.Update(ctx, func(tx *Tx) error { return tx.unlockAudited(id) })
}

func (tx *Tx) unlockAudited(id UserID) error {
	u, err := tx.user(id)
	if err != nil {
		return err
	}
	if err := tx.forgive(id); err != nil {
		return err
	}
	return tx.audit(AuditEntry{Action: ActionUserUnlock, User: id, Username: u.Username})
}

// Throttled returns how long attempts on a user's account are refused from
// now on, and how many failed in a row; 0 and 0 mean that nothing stands in the way.
func (e *Engine) Throttled(ctx context.Context, id UserID) (wait time.Duration, failures int, err error) {
	e.settleLater(ctx)
	at := throttleID{class: throttleUser, n: uint64(id)}
	for known := false; !known && err == nil; {
		written, _ := e.throttle.look()
		var c tally
		var now time.Time
		err = e.view(ctx, func(tx *ReadTx) (err error) {
			now = tx.now
			c, err = tx.tally(at)
			return err
		})
		wait, failures, known = e.throttle.known(at, c, now, written)
	}
	if err != nil {
		return 0, 0, err
	}
	return wait, failures, nil
}

// known returns what is known of a counter, by what the file said of it after written failures were moved to it; ok is false if one was
// moved since.
func (t *throttle) known(id throttleID, c tally, now time.Time, written uint64) (wait time.Duration, failures int, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	failures, last := c.with(t.unwritten[id], now.Add(-t.cfg.Forget))
	return t.left(failures, t.free(id), last, now), failures, t.written == written
}
