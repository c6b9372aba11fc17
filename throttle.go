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
	// turns the throttle off, which NIST SP 800-63B-4 (3.2.2) does not allow
	// for a system that people rely on.
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
	// ended is closed, and replaced, when an attempt under way ends.
	ended   chan struct{}
	waiting int // attempts that wait for one under way
	// unwritten counts failures that are not in the file yet, and when the last one was.
	unwritten map[throttleID]unwritten
}

type unwritten struct {
	failures int
	last     time.Time
}

func (t *throttle) init(cfg ThrottleConfig) {
	t.cfg = cfg
	t.running = make(map[throttleID]int)
	t.ended = make(chan struct{})
	t.unwritten = make(map[throttleID]unwritten)
}

// pending returns the failures that the file does not know yet.
func (t *throttle) pending(id throttleID) unwritten {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.unwritten[id]
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

func (t *throttle) addPending(ids []throttleID, n int, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, id := range ids {
		p := t.unwritten[id]
		if p.failures += n; p.failures <= 0 {
			delete(t.unwritten, id)
			continue
		}
		if p.failures == n {
			t.makeRoomLocked()
		}
		if at.After(p.last) {
			p.last = at
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
	switch {
	case e.throttle.cfg.Free < 0:
	case user != 0:
		ids = append(ids, throttleID{class: throttleUser, n: uint64(user)})
	default:
		ids = append(ids, e.throttleSlot(throttleName, foldName(name), nameSlots))
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

// failures returns the count of a counter with what was not written yet before the
// transaction began. What is written meanwhile may count twice, but never not at all.
func (tx *ReadTx) failures(id throttleID, p unwritten) (n int, last time.Time, err error) {
	n, last, err = tx.written(id)
	if tx.now.Sub(p.last) > tx.e.throttle.cfg.Forget {
		return n, last, err
	}
	if p.last.After(last) {
		last = p.last
	}
	return n + p.failures, last, err
}

// written returns the count that is in the file: 0 if the counter belongs to
// somebody else by now or is forgotten.
func (tx *ReadTx) written(id throttleID) (n int, last time.Time, err error) {
	body, ok, err := tx.get(bucketThrottle, id.key())
	if err != nil || !ok {
		return 0, time.Time{}, err
	}
	r, err := decodeThrottle(id.key(), &body)
	if err != nil || r.print != id.print || tx.now.Sub(r.last) > tx.e.throttle.cfg.Forget {
		return 0, time.Time{}, err
	}
	return int(r.failures), r.last, nil
}

// begin counts an attempt as under way, and returns how many were before, and how many
// failures are not written yet, for each counter.
func (t *throttle) begin(ids []throttleID) (running []int, pending []unwritten) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, id := range ids {
		running = append(running, t.running[id])
		pending = append(pending, t.unwritten[id])
		t.running[id]++
	}
	return running, pending
}

// end takes an attempt out of those under way, and lets those look again that wait.
func (t *throttle) end(ids []throttleID) {
	t.leave(ids)
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.ended)
	t.ended = make(chan struct{})
}

func (t *throttle) leave(ids []throttleID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, id := range ids {
		if t.running[id]--; t.running[id] <= 0 {
			delete(t.running, id)
		}
	}
}

// admit decides whether an attempt is looked at. It returns 0 and a function
// to call when the attempt is over, or how long to wait.
//
// The attempt is counted as under way before failures are read. So every other attempt is seen as
// one or the other, and however many come at once, no more than are free are looked at. What is
// more than that waits for those under way, as they may all be right; [ErrBusy] bounds how many wait.
func (e *Engine) admit(ctx context.Context, ids []throttleID) (wait time.Duration, done func(), err error) {
	for {
		ended := e.throttle.endOfOne()
		wait, crowded, done, err := e.tryAdmit(ctx, ids)
		if !crowded {
			return wait, done, err
		}
		if err := e.throttle.await(ctx, ended); err != nil {
			return 0, nil, err
		}
	}
}

// endOfOne returns a channel that is closed when an attempt ends, if somebody waits for it.
func (t *throttle) endOfOne() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ended
}

// maxWaiting is how many attempts may wait for others of their account or source.
const maxWaiting = 256

// await waits for an attempt to end.
func (t *throttle) await(ctx context.Context, ended <-chan struct{}) error {
	t.mu.Lock()
	if t.ended != ended { // one ended already
		t.mu.Unlock()
		return nil
	}
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

// tryAdmit is admit for one look: crowded means that too many attempts are under way.
func (e *Engine) tryAdmit(ctx context.Context, ids []throttleID) (wait time.Duration, crowded bool, done func(), err error) {
	running, pending := e.throttle.begin(ids)
	defer func() {
		switch {
		case done != nil:
		case crowded:
			// Not worth waking others for: what crowds this one crowds them.
			e.throttle.leave(ids)
		default:
			e.throttle.end(ids)
		}
	}()
	err = e.view(ctx, func(tx *ReadTx) error {
		wait, crowded = 0, false
		for i, id := range ids {
			free := e.throttle.free(id)
			n, last, err := tx.failures(id, pending[i])
			if err != nil {
				return err
			}
			wait = max(wait, e.throttle.left(n, free, last, tx.now))
			// Beyond the free failures one attempt at a time is looked at.
			crowded = crowded || running[i] > 0 && running[i]+n >= max(free, 1)
		}
		return nil
	})
	if err != nil || wait > 0 || crowded {
		return wait, crowded && err == nil && wait == 0, nil, err
	}
	return 0, false, func() { e.throttle.end(ids) }, nil
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
	e.throttle.addPending(ids, 1, e.clock.now())
	e.later(ctx, "counting a failed login", func(tx *Tx) error { return tx.fail(ids) }, func(err error) {
		if err == nil {
			e.throttle.addPending(ids, -1, time.Time{})
		} // otherwise it stays counted in memory
	})
}

// fail writes a failure down that was counted in memory, unless it was forgiven
// meanwhile or its user is gone.
func (tx *Tx) fail(ids []throttleID) error {
	for _, id := range ids {
		if tx.e.throttle.pending(id).failures == 0 {
			continue
		}
		if id.class == throttleUser {
			there, err := tx.has(bucketUser, userKey(UserID(id.n)))
			if err != nil {
				return err
			}
			if !there {
				continue
			}
		}
		n, _, err := tx.written(id)
		if err != nil {
			return err
		}
		r := &throttleRecord{print: id.print, failures: uint32(n + 1), last: tx.now}
		if err := tx.put(bucketThrottle, id.key(), r.encode()); err != nil {
			return err
		}
	}
	return nil
}

// failed reports whether an account has failures to forgive.
func (tx *ReadTx) failed(user UserID) (bool, error) {
	if tx.e.throttle.pending(throttleID{class: throttleUser, n: uint64(user)}).failures > 0 {
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
	return e.Update(ctx, func(tx *Tx) error {
		u, err := tx.user(id)
		if err != nil {
			return err
		}
		if err := tx.forgive(id); err != nil {
			return err
		}
		return tx.audit(AuditEntry{Action: ActionUserUnlock, User: id, Username: u.Username})
	})
}

// Throttled returns how long attempts on a user's account are refused from
// now on, and how many failed in a row; 0 and 0 mean that nothing stands in the way.
func (e *Engine) Throttled(ctx context.Context, id UserID) (wait time.Duration, failures int, err error) {
	e.settleLater()
	at := throttleID{class: throttleUser, n: uint64(id)}
	pending := e.throttle.pending(at)
	err = e.view(ctx, func(tx *ReadTx) error {
		n, last, err := tx.failures(at, pending)
		failures, wait = n, e.throttle.left(n, e.throttle.free(at), last, tx.now)
		return err
	})
	return wait, failures, err
}
