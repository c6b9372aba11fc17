package latchbolt

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/latchbolt-go/latchbolt/internal/extsort"
	"github.com/latchbolt-go/latchbolt/internal/kv"
	"github.com/latchbolt-go/latchbolt/internal/kv/boltkv"
	"github.com/latchbolt-go/latchbolt/internal/record"
)

// An Engine is one open file. Its methods may be called concurrently. Use
// [Open] to make one, and close it at the end.
type Engine struct {
	cfg           Config
	path          string
	store         kv.Store
	meta          *metaRecord
	caseSensitive bool
	epoch         atomic.Uint32
	lastAudit     atomic.Int64 // time of the newest entry of the audit trail
	newSessions   atomic.Int64 // filed and not merged yet, about
	writing       atomic.Int64 // updates under way
	held          heldCount
	clock         *clock
	cache         *cache
	denied        denials
	hashes        *hashPool
	costs         costClasses
	backends      []Backend
	permBackends  []PermBackend
	ownFirst      bool // the engine's grants are asked for before any PermBackend
	ownNever      bool // they do not count, because every backend is a PermBackend
	throttle      throttle
	decoy         atomic.Uint64 // user that is read in place of one who is not there
	touched       touched
	forgotten     atomic.Uint64 // how often something went out of memory since the file says it
	backlog       backlog
	loads         atomic.Int64 // calls of Load under way
	vault         sessionVault // where sessions live, if not in the file
	sweeper       sweeper
	refusals      refusals
	log           *slog.Logger

	opened     moment
	closing    sync.Once
	closed     atomic.Bool
	background sync.WaitGroup // timers that run
}

// A moment is when an Engine was opened, and the state it found.
type moment struct {
	rev kv.Rev
	at  time.Time
}

// Open opens a file, or creates one if cfg.Create is set and there is none. A
// nil cfg means the defaults. The error is [ErrLocked] if another process or
// Engine has the file, [ErrCorrupt] if it is damaged, [ErrNewerFormat] if a
// newer release wrote it, [ErrInsecure] if it is not a plain file of this
// user, and wraps fs.ErrNotExist if there is none. A file that is refused is left untouched.
func Open(path string, cfg *Config) (*Engine, error) {
	c, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	e := &Engine{cfg: *c, path: path, log: c.Logger}
	opts := &boltkv.Options{
		Buckets:     buckets,
		Appended:    appended,
		Runs:        runs,
		LockTimeout: c.LockTimeout,
		MaxSize:     c.MaxFileSize,
		Check:       checkFormat,
		Init:        e.initFile,
	}
	if c.Create {
		if err := boltkv.Create(path, opts); err != nil && !errors.Is(err, errFileExists) {
			return nil, fmt.Errorf("latchbolt: creating %q: %w", path, fromStore(err))
		}
	}
	store, err := boltkv.Open(path, opts)
	if err != nil {
		return nil, fmt.Errorf("latchbolt: opening %q: %w", path, fromStore(err))
	}
	e.store = store
	// A load that the machine's power left behind holds the passwords of its users. What cannot be removed stays until the next time.
	_ = extsort.Sweep(filepath.Dir(path))
	if err := e.start(); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return e, nil
}

// openStore makes an Engine on a store that is open already.
func openStore(store kv.Store, cfg *Config) (*Engine, error) {
	c, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	e := &Engine{cfg: *c, log: c.Logger, store: store}
	_, err = store.Update(context.Background(), func(w kv.Tx) error {
		if v, err := w.Get(bucketMeta, keyFormat); err != nil || v != nil {
			return err
		}
		return e.initFile(w)
	})
	if err != nil {
		return nil, fromStore(err)
	}
	return e, e.start()
}

// checkFormat refuses a file of a newer release before anything is written.
func checkFormat(r kv.Reader) error {
	v, err := r.Get(bucketMeta, keyFormat)
	if err != nil {
		return err
	}
	if v == nil {
		return corrupt("no record of the format: not a latchbolt file", nil)
	}
	_, err = decodeMeta(v)
	return err
}

// initFile writes the first records of a new file.
func (e *Engine) initFile(w kv.Tx) error {
	now := time.Now
	if e.cfg.Clock != nil {
		now = e.cfg.Clock
	}
	m := &metaRecord{format: formatVersion, created: now().UTC()}
	if e.cfg.CaseSensitive {
		m.flags |= metaCaseSensitive
	}
	if _, err := rand.Read(m.instance[:]); err != nil {
		return err
	}
	if _, err := rand.Read(m.secret[:]); err != nil {
		return err
	}
	epoch := record.New(recordVersion)
	epoch.AddUint32(1)
	for _, first := range []struct {
		key []byte
		rec *record.Builder
	}{
		{keyFormat, m.encode()},
		{keyIDs, new(idsRecord).encode()},
		{keyEpoch, epoch},
		{keyClock, timeRecord(m.created)},
	} {
		v, err := seal(bucketMeta, first.key, first.rec)
		if err != nil {
			return err
		}
		if err := w.Put(bucketMeta, first.key, v); err != nil {
			return err
		}
	}
	return nil
}

// start reads what is kept in memory, and gets ready to serve.
func (e *Engine) start() error {
	c := &e.cfg
	e.clock = newClock(c.Clock)
	e.cache = newCache(c.CacheSessions, c.CacheUsers, &e.denied)
	e.backends = c.Backends
	e.ownFirst = true
	for i, b := range e.backends {
		if pb, ok := b.(PermBackend); ok {
			e.permBackends = append(e.permBackends, pb)
			e.ownFirst = e.ownFirst && i > 0
		}
	}
	e.ownNever = len(e.permBackends) == len(e.backends)
	var err error
	if e.hashes, err = newHashPool(c.hashConfig()); err != nil {
		return err
	}
	e.cfg.Peppers = nil // the pool has them
	e.throttle.init(c.Throttle)
	e.vault = vaultFor(e, c.Sessions)
	e.opened.rev, err = e.viewRev(context.Background(), func(tx *ReadTx) error {
		e.opened.at = tx.now
		return e.readMeta(tx)
	})
	if err != nil {
		return err
	}
	if err := e.costs.recount(e); err != nil {
		return err
	}
	return e.startBackground()
}

// readMeta reads the settings of the file, how many sessions are not merged, and how
// dear its hashes are.
func (e *Engine) readMeta(tx *ReadTx) error {
	if err := e.readSettings(tx); err != nil {
		return err
	}
	news, err := tx.keys(bucketSessionNew, nil, nil, mergeBusy)
	if err != nil {
		return err
	}
	e.newSessions.Store(int64(len(news)))
	return e.costs.read(tx, e)
}

// readSettings reads the settings of the file, and how far its clock had come.
func (e *Engine) readSettings(tx *ReadTx) error {
	v, err := tx.r.Get(bucketMeta, keyFormat)
	if err != nil {
		return fromStore(err)
	}
	if e.meta, err = decodeMeta(v); err != nil {
		return err
	}
	e.caseSensitive = e.meta.flags&metaCaseSensitive != 0
	body, ok, err := tx.get(bucketMeta, keyEpoch)
	if err != nil || !ok {
		return missing(err, "no epoch")
	}
	e.epoch.Store(body.Uint32())
	last, err := tx.lastTime()
	if err != nil {
		return err
	}
	e.clock.notBefore(last)
	e.lastAudit.Store(last.UnixNano())
	return nil
}

// missing is the error of a record that has to be there and was not found. If it could not be read, for which err stands, nobody knows that it
// is missing.
func missing(err error, what string) error {
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	return corrupt(what, err)
}

// lastTime is the latest time that the file tells of.
func (tx *ReadTx) lastTime() (time.Time, error) {
	body, ok, err := tx.get(bucketMeta, keyClock)
	if err != nil || !ok {
		return time.Time{}, missing(err, "no clock")
	}
	last := readTime(&body)
	for e, err := range tx.scanBack(bucketAudit, nil, nil) {
		if err != nil {
			return last, err
		}
		if at := auditTime(e.key); at.After(last) {
			last = at
		}
		break
	}
	return last, nil
}

// Close writes what is still to be written and closes the file. Calls that run
// meanwhile fail with [ErrClosed]. A second Close does nothing. Inside a function given to
// Update or View it is refused with [ErrNested], and nothing is closed.
func (e *Engine) Close() error {
	if e.nested(context.Background()) {
		return ErrNested
	}
	var err error
	e.closing.Do(func() {
		e.stopBackground()
		if flushErr := e.flushTouched(context.Background()); flushErr != nil {
			e.log.Warn("latchbolt: the last use of sessions was not written", "err", flushErr)
		}
		if e.worthNoting() && e.noteClock(context.Background()) != nil {
			e.log.Warn("latchbolt: the clock was not written")
		}
		e.closed.Store(true)
		e.cache.dropAll()
		err = fromStore(e.store.Close())
	})
	return err
}

// glance is how long an Engine may be open that leaves the file as it was if nothing was changed.
const glance = time.Minute

// worthNoting reports whether Close has to store how late it is. An Engine that only had a look leaves no byte changed.
func (e *Engine) worthNoting() bool {
	head, err := e.store.Head(context.Background())
	return err != nil || head != e.opened.rev || e.clock.now().Sub(e.opened.at) >= glance
}

// noteClock stores how late it is, so that a clock that is set back is noticed.
func (e *Engine) noteClock(ctx context.Context) error {
	return e.update(ctx, func(tx *Tx) error {
		return tx.put(bucketMeta, keyClock, timeRecord(tx.now))
	})
}

// String returns the path. No way of printing an Engine shows more: its settings hold secrets.
func (e *Engine) String() string { return "latchbolt " + quote(e.path) }

// GoString is String.
func (e *Engine) GoString() string { return e.String() }

// Format is String, whatever the verb.
func (e *Engine) Format(f fmt.State, _ rune) { fmt.Fprint(f, e.String()) }

// LogValue is String.
func (e *Engine) LogValue() slog.Value { return slog.StringValue(e.String()) }

// Path returns the path that the engine was opened with.
func (e *Engine) Path() string { return e.path }

// CaseSensitive reports whether names that differ only in case are different
// users in this file. It is decided when the file is made.
func (e *Engine) CaseSensitive() bool { return e.caseSensitive }

// Now returns the engine's time. It does not go back while the engine is open,
// nor behind what the file has seen.
func (e *Engine) Now() time.Time { return e.clock.now() }

// View calls fn with one consistent state of the file. fn must not call methods of
// Engine that write, nor wait for a goroutine that reads or writes: while [Engine.Compact], or a write that needs a larger map of the
// file, waits for fn to return, those who begin to read wait for it.
//
// The pages of that state are not used again before fn returns, so the file grows by some ten KiB with every write meanwhile. When a third of
// its size was written, or 8 MiB if that is more, and it has grown, the state is given up: whatever fn reads after that fails with [ErrViewTooOld]. So
// what is to go to somebody who may be slow is put aside first.
func (e *Engine) View(ctx context.Context, fn func(*ReadTx) error) error {
	view := e.store.View
	if h, ok := e.store.(kv.Holder); ok {
		view = h.ViewHeld
	}
	_, err := e.viewBy(ctx, view, fn)
	return err
}

// Update calls fn in a transaction and makes its changes durable before it
// returns nil. All of them are made or none. fn may run more than once, and must use the
// Tx, not the Engine: an Engine method that writes would wait for itself and
// fails with [ErrNested]. An error that wraps the context's means that nothing was changed.
func (e *Engine) Update(ctx context.Context, fn func(*Tx) error) error { return e.update(ctx, fn) }

// view is View for functions of the engine's own, which wait for nobody and are quick, so that their state need never be given up.
func (e *Engine) view(ctx context.Context, fn func(*ReadTx) error) error {
	_, err := e.viewRev(ctx, fn)
	return err
}

// viewRev is view with the revision that was read.
func (e *Engine) viewRev(ctx context.Context, fn func(*ReadTx) error) (kv.Rev, error) {
	return e.viewBy(ctx, e.store.View, fn)
}

// viewBy is viewRev by a method of the store.
func (e *Engine) viewBy(ctx context.Context, view func(context.Context, func(kv.Reader) error) (kv.Rev, error), fn func(*ReadTx) error) (kv.Rev, error) {
	for {
		forgotten := e.forgotten.Load()
		tx := &ReadTx{e: e, ctx: ctx}
		rev, err := view(ctx, func(r kv.Reader) error {
			tx.r, tx.now = r, e.clock.now()
			return fn(tx)
		})
		// What fn did not find in memory may have gone into the file behind
		// this state's back. Only functions of our own ask for it; they can run twice.
		if tx.memory && e.forgotten.Load() != forgotten {
			continue
		}
		return rev, fromStore(err)
	}
}

// update is the only way to the store's Update: it fences the cache before the
// commit and runs what has to happen after it.
func (e *Engine) update(ctx context.Context, fn func(*Tx) error) error {
	u := updating{e: e, ctx: ctx, fn: fn}
	return u.do(e.store.Update)
}

// updateLent is update for a fn of the engine's own that calls nothing of the program's, so that
// many that come at once can be run by one goroutine.
func (e *Engine) updateLent(ctx context.Context, fn func(*Tx) error) error {
	u := updating{e: e, ctx: ctx, fn: fn}
	if l, ok := e.store.(kv.Lender); ok {
		return u.do(l.UpdateLent)
	}
	return u.do(e.store.Update)
}

// An updating is one call of update.
type updating struct {
	e      *Engine
	ctx    context.Context
	fn     func(*Tx) error
	tx     Tx
	fx     effects
	fenced bool
}

func (u *updating) do(update func(context.Context, func(kv.Tx) error) (kv.Rev, error)) error {
	u.e.clock.follow()
	// A panic in fn, or in a second run of it, must not leave the fence up.
	done := false
	u.e.writing.Add(1)
	defer func() {
		if !done {
			u.e.writing.Add(-1)
			u.unfence()
		}
	}()
	rev, err := update(u.ctx, u.run)
	done = true
	u.e.writing.Add(-1)
	return u.e.finish(&u.fx, u.fenced, rev, err)
}

// run runs fn in a transaction of the store.
func (u *updating) run(w kv.Tx) error {
	u.unfence()
	u.fx.reset()
	u.tx = Tx{ReadTx: ReadTx{e: u.e, r: w, ctx: u.ctx, now: u.e.clock.now()}, w: w, fx: &u.fx}
	if err := u.fn(&u.tx); err != nil {
		return err
	}
	if err := u.tx.storeCosts(); err != nil {
		return err
	}
	u.e.cache.fence(&u.fx)
	u.fenced = true
	return nil
}

// unfence lowers the fence after a run that is not committed.
func (u *updating) unfence() {
	if u.fenced {
		u.e.cache.settle(&u.fx, 0, errNotCommitted)
		u.fenced = false
	}
}

// finish does what remains after an update of the store, whose outcome is err.
func (e *Engine) finish(fx *effects, fenced bool, rev kv.Rev, err error) error {
	if fenced {
		e.cache.settle(fx, rev, err)
	}
	if fx.counted != 0 {
		e.held.settle(fx.counted, fx, err == nil)
	}
	if err != nil {
		if isUnknown(err) {
			e.cache.dropAll()
		}
		return fromStore(err)
	}
	e.costs.apply(fx.costs, e)
	e.countNew(fx.newSessions)
	e.readDropped(fx.dropped)
	if fx.audited > 0 {
		e.sweeper.audited(fx.audited)
	}
	for _, after := range fx.after {
		after()
	}
	return nil
}

// readDropped reads the states again that a change made the cache drop, so that whoever changes something pays for it, and not whoever
// asks next. What cannot be read is left to them.
func (e *Engine) readDropped(users []UserID) {
	for _, id := range users {
		if _, err := e.userState(context.Background(), id); err != nil {
			return
		}
	}
}

var errNotCommitted = errors.New("latchbolt: not committed")

func isUnknown(err error) bool {
	return errors.Is(err, kv.ErrUnknown) || errors.Is(err, kv.ErrFailed)
}
