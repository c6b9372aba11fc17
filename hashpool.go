package latchbolt

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/latchbolt-go/latchbolt/internal/pwhash"
)

// A Pepper is a key that is mixed into passwords before they are hashed, and that is kept
// outside the file: without it the hashes cannot be guessed at. If it is lost, no
// password that was hashed with it can be verified any more. It prints as "[redacted]".
type Pepper struct {
	redact
	// ID is stored beside each hash that the key went into. It is not 0, and is
	// never given to another key.
	ID uint16
	// Key is at least 32 random bytes. The engine keeps a copy.
	Key []byte
}

// minPepper is the length of the keys, in bytes: HMAC-SHA256 gains nothing from
// more, and less could be guessed.
const minPepper = 32

// apply mixes the key into a password. The result is text, since some hashers
// take no NUL, and has the same length for every password.
func (p *Pepper) apply(password string) string {
	mac := hmac.New(sha256.New, p.Key)
	mac.Write([]byte(password))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// hashConfig says how a hashPool works.
type hashConfig struct {
	Hashers []Hasher // the first is preferred
	Peppers []Pepper // the first is for new hashes
	Slots   int      // hashes at the same time; 0 means GOMAXPROCS
	Queue   int      // waiting for a slot; 0 means 16 for each slot, negative none
	Legacy  bool     // also verify unsalted and SHA-1 forms
}

// A hashPool makes and checks password hashes, a bounded number at a time.
//
// Every check that fails spends the same number of units, whether or not there
// is a user, and whatever the hash is: the budget, which is the cost of a hash of
// the preferred hasher, or of the dearest hash in the file if that is more. What
// verifying the stored hash does not take of it is burned, in the preferred
// hasher's own kind of work. Padding to equal time instead would leave the processor
// idle, which shows under load; and Django's way, one run of the default
// hasher where there is no hash, tells users with older or
// dearer hashes from all others (CVE-2016-2513). Units are work, not time: a
// hash that runs several threads takes less time than its units say.
//
// A check that begins is finished, even if its context ends meanwhile: x/crypto
// cannot be interrupted, and a slot is not given on before the work is over.
type hashPool struct {
	preferred Hasher
	maker     pwhash.Maker      // of the preferred hasher; nil if it is the program's own
	own       map[string]Hasher // the program's own, by algorithm
	peppers   []Pepper
	legacy    bool
	unitCost  int64                  // of a hash of the preferred hasher
	sample    string                 // hash of the preferred hasher, to burn work with if it is the program's own
	sham      atomic.Pointer[string] // hash of the preferred hasher that stands for one that is not there or cannot be read

	slots   gate
	ceiling atomic.Int64 // set by the engine
	seen    atomic.Int64 // dearest hash met although it was above the ceiling
	spent   atomic.Int64
}

const queuePerSlot = 16

func newHashPool(cfg hashConfig) (*hashPool, error) {
	if len(cfg.Hashers) == 0 {
		return nil, errors.New("latchbolt: no hasher")
	}
	p := &hashPool{preferred: cfg.Hashers[0], own: make(map[string]Hasher), legacy: cfg.Legacy}
	if err := p.setPeppers(cfg.Peppers); err != nil {
		return nil, err
	}
	for _, h := range cfg.Hashers {
		if h == nil {
			return nil, errors.New("latchbolt: a hasher is nil")
		}
		if m, ok := builtin(h); ok {
			if err := m.Check(); err != nil {
				return nil, fmt.Errorf("latchbolt: hasher %s: %w", h.Algorithm(), err)
			}
			continue
		}
		name := h.Algorithm()
		if name == "" || strings.ContainsAny(name, "$!") || p.own[name] != nil {
			return nil, fmt.Errorf("latchbolt: hasher %s: the name must be its own and hold no $ and no exclamation mark", quote(name))
		}
		p.own[name] = h
	}
	for _, h := range cfg.Hashers {
		if _, ok := builtin(h); ok && p.own[h.Algorithm()] != nil {
			return nil, fmt.Errorf("latchbolt: hasher %s: the name is in use", quote(h.Algorithm()))
		}
	}
	slots, queue := cfg.Slots, cfg.Queue
	if slots <= 0 {
		slots = runtime.GOMAXPROCS(0)
	}
	if queue == 0 {
		queue = queuePerSlot * slots
	}
	p.slots = gate{free: slots, room: max(queue, 0)}
	return p, p.measure()
}

func (p *hashPool) setPeppers(peppers []Pepper) error {
	seen := make(map[uint16]bool)
	for _, pep := range peppers {
		if pep.ID == 0 || seen[pep.ID] {
			return fmt.Errorf("latchbolt: pepper %d: the ID must be unique and not 0", pep.ID)
		}
		if len(pep.Key) < minPepper {
			return fmt.Errorf("latchbolt: pepper %d: the key has %d bytes; it needs %d", pep.ID, len(pep.Key), minPepper)
		}
		seen[pep.ID] = true
		p.peppers = append(p.peppers, Pepper{ID: pep.ID, Key: slices.Clone(pep.Key)})
	}
	return nil
}

// measure finds what a hash of the preferred hasher costs. One of the program's own has to
// make a hash for that.
func (p *hashPool) measure() error {
	if p.maker, _ = builtin(p.preferred); p.maker != nil {
		p.unitCost = p.maker.Cost()
		return nil
	}
	encoded, err := p.makeOwn("a password of nobody")
	if err != nil {
		return fmt.Errorf("latchbolt: hasher %s: %w", quote(p.preferred.Algorithm()), err)
	}
	work, err := ownWork(p.preferred, encoded)
	if err != nil {
		return fmt.Errorf("latchbolt: hasher %s: %w", quote(p.preferred.Algorithm()), err)
	}
	p.sample, p.unitCost = encoded, work
	return nil
}

// setCeiling tells what the dearest hash in the file costs. 0 means that it is not
// above the preferred hasher's.
func (p *hashPool) setCeiling(units int64) { p.ceiling.Store(min(max(units, 0), pwhash.MaxUnits)) }

// preferredCost returns the units for a hash of the preferred hasher.
func (p *hashPool) preferredCost() int64 { return p.unitCost }

// units returns the work done so far.
func (p *hashPool) units() int64 { return p.spent.Load() }

// cost returns the most units that verifying h can take; 0 if it cannot be verified.
func (p *hashPool) cost(h PasswordHash) int64 {
	return p.find(h).cost
}

// budget is what every failing check spends.
func (p *hashPool) budget() int64 {
	return max(p.unitCost, p.ceiling.Load(), p.seen.Load())
}

// hash makes a hash with the preferred hasher and the current pepper. The error is [ErrBusy], the
// context's if it ends before the work begins, a [*FieldError] for a
// password of more than 4,096 bytes, or the hasher's.
func (p *hashPool) hash(ctx context.Context, password string) (PasswordHash, error) {
	if len(password) > pwhash.MaxPassword {
		return PasswordHash{}, errPasswordTooLong()
	}
	if err := p.slots.enter(ctx); err != nil {
		return PasswordHash{}, err
	}
	defer p.slots.leave()
	h := PasswordHash{}
	if len(p.peppers) > 0 {
		h.pepper = p.peppers[0].ID
		password = p.peppers[0].apply(password)
	}
	var err error
	if p.maker != nil {
		h.encoded, err = makeHash(p.maker, password)
	} else {
		h.encoded, err = p.makeOwn(password)
	}
	if err != nil {
		return PasswordHash{}, err
	}
	p.spent.Add(p.unitCost)
	return h, nil
}

// check reports whether password is the one of stored, and whether the hash should
// be made anew. If genuine is false the answer is no, after the same work. Errors mean
// that nothing was tried: [ErrBusy], the context's, and [ErrCredentials] for a
// password of more than 4,096 bytes.
func (p *hashPool) check(ctx context.Context, password string, stored PasswordHash, genuine bool) (ok, outdated bool, err error) {
	if len(password) > pwhash.MaxPassword {
		return false, false, ErrCredentials
	}
	if err := p.slots.enter(ctx); err != nil {
		return false, false, err
	}
	defer p.slots.leave()
	v := p.find(stored)
	if v.cost > p.budget() {
		raise(&p.seen, v.cost) // from now on all failures cost as much
	}
	budget := p.budget()
	var spent int64
	if v.verify != nil {
		ok, spent = v.verify(p.mix(password, stored.pepper))
	} else {
		spent, genuine = p.pretend(password), false
	}
	if ok && genuine {
		p.spent.Add(spent)
		return true, v.outdated() || stored.pepper != p.currentPepper(), nil
	}
	p.burn(password, budget-spent)
	p.spent.Add(max(budget, spent))
	return false, false, nil
}

// pretend does with a hash of nobody what is done with one that is stored, reading it too, and returns the units
// that it took. To burn the same units would take some microseconds less.
func (p *hashPool) pretend(password string) (spent int64) {
	password = p.mix(password, p.currentPepper())
	if sham := p.sham.Load(); sham != nil {
		if v := p.find(PasswordHash{encoded: *sham}); v.verify != nil {
			_, spent = v.verify(password)
		}
		return spent
	}
	if p.maker == nil {
		p.sham.Store(&p.sample)
		return 0
	}
	// Making it costs as much as checking it, and so takes nobody's time.
	encoded, err := makeHash(p.maker, "a password of nobody")
	if err != nil {
		return 0
	}
	p.sham.Store(&encoded)
	return p.unitCost
}

func raise(v *atomic.Int64, to int64) {
	for old := v.Load(); old < to && !v.CompareAndSwap(old, to); old = v.Load() {
	}
}

func (p *hashPool) currentPepper() uint16 {
	if len(p.peppers) == 0 {
		return 0
	}
	return p.peppers[0].ID
}

func (p *hashPool) hasPepper(id uint16) bool {
	return id == 0 || slices.ContainsFunc(p.peppers, func(pep Pepper) bool { return pep.ID == id })
}

// mix applies the pepper with the given ID, which exists or is 0.
func (p *hashPool) mix(password string, id uint16) string {
	for i := range p.peppers {
		if p.peppers[i].ID == id {
			return p.peppers[i].apply(password)
		}
	}
	return password
}

// A hashCheck is how one stored hash is verified. If it cannot be, verify is nil
// and cost 0.
type hashCheck struct {
	cost     int64
	verify   func(password string) (ok bool, spent int64)
	outdated func() bool
}

// find returns how to verify a hash.
func (p *hashPool) find(stored PasswordHash) hashCheck {
	if !p.hasPepper(stored.pepper) {
		return hashCheck{}
	}
	name, _, _ := strings.Cut(stored.encoded, "$")
	if p.own[name] != nil {
		return p.findOwn(name, stored.encoded)
	}
	h, err := pwhash.Parse(stored.encoded)
	if err != nil || h.Cost() == 0 {
		return hashCheck{}
	}
	if d, ok := h.(*pwhash.Digest); ok && d.Legacy() && !p.legacy {
		return hashCheck{}
	}
	return hashCheck{
		cost: h.Cost(),
		verify: func(password string) (bool, int64) {
			work := h.Work(len(password))
			return work > 0 && h.Verify(password), work
		},
		outdated: func() bool {
			if p.maker == nil {
				return h.Cost() <= p.unitCost
			}
			return pwhash.Outdated(p.maker, h)
		},
	}
}

// burn spends units and keeps nothing of it.
func (p *hashPool) burn(password string, units int64) {
	password = p.mix(password, p.currentPepper())
	if p.maker != nil {
		// What is left undone after an error is done in the plainest way. That can fail only
		// where the platform forbids PBKDF2 altogether.
		if err := pwhash.Burn(p.maker, password, units); err != nil {
			_ = pwhash.BurnIterations(password, units)
		}
		return
	}
	for ; units >= p.unitCost; units -= p.unitCost {
		_, _ = ownVerify(p.preferred, password, p.sample)
	}
	_ = pwhash.BurnIterations(password, units)
}

// findOwn is find for a hasher of the program's own.
func (p *hashPool) findOwn(name, encoded string) hashCheck {
	h := p.own[name]
	work, err := ownWork(h, encoded)
	if err != nil {
		return hashCheck{}
	}
	return hashCheck{
		cost: work,
		verify: func(password string) (bool, int64) {
			ok, err := ownVerify(h, password, encoded)
			return ok && err == nil, work
		},
		outdated: func() bool {
			if p.maker == nil && name == p.preferred.Algorithm() {
				return ownOutdated(h, encoded)
			}
			return work <= p.unitCost
		},
	}
}

// The methods of the program's own hashers are called through these, which turn
// a panic into an error. What was panicked with could hold the password, and is dropped.

var errHasherPanic = errors.New("latchbolt: the hasher panicked")

func (p *hashPool) makeOwn(password string) (encoded string, err error) {
	defer recoverHasher(&err)
	encoded, err = p.preferred.Hash(password)
	if err == nil && !strings.HasPrefix(encoded, p.preferred.Algorithm()+"$") {
		err = errors.New("latchbolt: the hasher made a hash that does not begin with its name")
	}
	return encoded, err
}

func ownVerify(h Hasher, password, encoded string) (ok bool, err error) {
	defer recoverHasher(&err)
	return h.Verify(password, encoded)
}

func ownWork(h Hasher, encoded string) (units int64, err error) {
	defer recoverHasher(&err)
	units, err = h.Work(encoded)
	if err == nil && (units < 1 || units > pwhash.MaxUnits) {
		err = fmt.Errorf("latchbolt: the hasher says that a hash takes %d units", units)
	}
	return units, err
}

func ownOutdated(h Hasher, encoded string) (outdated bool) {
	var err error
	defer recoverHasher(&err)
	return h.Outdated(encoded)
}

func recoverHasher(err *error) {
	if recover() != nil {
		*err = errHasherPanic
	}
}

// A gate lets a bounded number of callers in and lets a bounded number wait, in
// the order in which they came.
type gate struct {
	mu    sync.Mutex // guards all below
	free  int
	room  int             // for waiting
	queue []chan struct{} // one for each who waits; closed to let in
}

// enter waits for a place. The error is [ErrBusy] if too many wait, or the context's.
func (g *gate) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	g.mu.Lock()
	if g.free > 0 {
		g.free--
		g.mu.Unlock()
		return nil
	}
	if len(g.queue) >= g.room {
		g.mu.Unlock()
		return ErrBusy
	}
	in := make(chan struct{})
	g.queue = append(g.queue, in)
	g.mu.Unlock()
	select {
	case <-in:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	if i := slices.Index(g.queue, in); i >= 0 {
		g.queue = slices.Delete(g.queue, i, i+1)
		g.mu.Unlock()
		return ctx.Err()
	}
	g.mu.Unlock()
	g.leave() // was let in at the same moment
	return ctx.Err()
}

// leave gives the place to the one who has waited longest.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.queue) == 0 {
		g.free++
		return
	}
	close(g.queue[0])
	g.queue = slices.Delete(g.queue, 0, 1)
}
