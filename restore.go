package latchbolt

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/latchbolt-go/latchbolt/internal/kv"
	"github.com/latchbolt-go/latchbolt/internal/kv/boltkv"
	"github.com/latchbolt-go/latchbolt/internal/record"
)

// ActionRestore is what the audit trail of a restored file says of [Restore].
const ActionRestore = "restore"

// RestoreOptions say how [Restore] goes about it. Nil, and the zero RestoreOptions, mean the defaults.
type RestoreOptions struct {
	// KeepAs is the path to which the file that is replaced is copied first, whole or damaged as it is;
	// nothing may be there. Empty means beside the file, under its name with ".before-restore-" and the time in UTC behind it.
	KeepAs string
	// Discard replaces the file without keeping a copy.
	Discard bool
	// LockTimeout is how long to wait for another process to let go of a file. 0 means 1 s;
	// negative means not at all.
	LockTimeout time.Duration
}

// Restored says what [Restore] did.
type Restored struct {
	Kept   string    // where the file is that was there before; empty if there was none, or it was discarded
	Latest time.Time // the latest time that the backup knew of: what was changed since is not in it
	Epoch  uint32    // of the restored file
}

// Restore puts the backup src in place of the file dst, which may be whole, damaged or absent, and which nobody
// may have open: the error is [ErrLocked] then, for src as for dst. src is checked wholly first,
// structure and records. If it is damaged, or of a newer release, the error is [ErrCorrupt] or
// [ErrNewerFormat], and dst is not touched. src stays as it is.
//
// What was in force when the backup was made does not come back to life: all sessions are over, for the restored file has
// a higher epoch than either file had, as far as dst can be read; one-time tokens are void. Passwords,
// permissions and users are those of the backup, also those that were changed, withdrawn or deleted since.
// Identifiers that the old file had given out are not given out again, as far as it can be read.
// An entry in the audit trail, [ActionRestore], says that it was restored.
//
// Whatever happens meanwhile, dst is the old file or the new one, whole. Unless the error is
// [ErrIndeterminate], a power cut cannot change that any more. The new file has the mode 0600. A copy of the
// old one is kept unless opts say otherwise.
func Restore(ctx context.Context, src, dst string, opts *RestoreOptions) (Restored, error) {
	var o RestoreOptions
	if opts != nil {
		o = *opts
	}
	orDefault(&o.LockTimeout, time.Second)
	if o.Discard {
		o.KeepAs = ""
	} else if o.KeepAs == "" {
		o.KeepAs = dst + time.Now().UTC().Format(".before-restore-20060102T150405Z")
	}
	done := Restored{Kept: o.KeepAs}
	replaced, err := boltkv.Restore(ctx, src, dst, &boltkv.RestoreOptions{
		Options: boltkv.Options{Buckets: buckets, LockTimeout: max(o.LockTimeout, time.Millisecond), Check: checkFormat},
		KeepAs:  o.KeepAs,
		Amend:   func(s *boltkv.Store, old boltkv.Lookup) error { return done.amend(ctx, s, old) },
	})
	if err != nil {
		return Restored{}, fmt.Errorf("latchbolt: restoring %q from %q: %w", dst, src, fromStore(err))
	}
	if !replaced {
		done.Kept = ""
	}
	return done, nil
}

// amend makes of a copy of the backup what is put in place.
func (d *Restored) amend(ctx context.Context, s *boltkv.Store, old boltkv.Lookup) error {
	e, err := bareEngine(ctx, s)
	if err != nil {
		return err
	}
	findings, err := e.findings(ctx)
	if err != nil {
		return err
	}
	if n := len(findings); n > 0 {
		return corrupt(fmt.Sprintf("%d findings, the first: %v", n, findings[0]), nil)
	}
	d.Latest = time.Unix(0, e.lastAudit.Load()).UTC()
	if d.Epoch, err = nextEpoch(e.epoch.Load(), old, time.Now()); err != nil {
		return err
	}
	return e.update(ctx, func(tx *Tx) error {
		r := record.New(recordVersion)
		r.AddUint32(d.Epoch)
		if err := tx.put(bucketMeta, keyEpoch, r); err != nil {
			return err
		}
		// Sessions of an earlier epoch are dead as they are; nobody shall have to wait for their time to be rid of them. The last
		// logins that stand with new ones stay.
		if err := tx.mergeNew(nil); err != nil {
			return err
		}
		for _, b := range []kv.Bucket{bucketSession, bucketValues, bucketSessionUser, bucketSessionKey, bucketToken, bucketTokenUser} {
			if err := tx.deletePrefix(b, nil); err != nil {
				return err
			}
		}
		if err := tx.raiseIDs(old); err != nil {
			return err
		}
		return tx.audit(AuditEntry{Action: ActionRestore, Detail: "from a backup whose latest time is " + d.Latest.Format(time.RFC3339)})
	})
}

// raiseIDs makes sure that no identifier is given out that the old file has given out, as far as it tells: programs may keep
// things under the number of a user elsewhere.
func (tx *Tx) raiseIDs(old boltkv.Lookup) error {
	value, err := old(bucketMeta, keyIDs)
	var body record.Body
	if err == nil {
		body, err = unseal(bucketMeta, keyIDs, value)
	}
	var last *idsRecord
	if err == nil {
		last, err = decodeIDs(&body)
	}
	if err != nil {
		return nil // it does not tell
	}
	ids, err := tx.ids()
	if err != nil {
		return err
	}
	*ids = idsRecord{max(ids.user, last.user), max(ids.group, last.group), max(ids.perm, last.perm)}
	return tx.put(bucketMeta, keyIDs, ids.encode())
}

// nextEpoch returns an epoch that no file had. Where the old file does not tell which one it
// had, it is as high as there have been seconds since 1970, which no restore before can have reached.
func nextEpoch(backup uint32, old boltkv.Lookup, now time.Time) (uint32, error) {
	last := backup
	value, err := old(bucketMeta, keyEpoch)
	var body record.Body
	if err == nil {
		body, err = unseal(bucketMeta, keyEpoch, value)
	}
	if err == nil {
		last = max(last, body.Uint32())
		err = body.Done()
	}
	if err != nil {
		last = max(last, uint32(min(max(now.Unix(), 0), math.MaxUint32-1)))
	}
	if last == math.MaxUint32 {
		return 0, fmt.Errorf("%w: there is no higher epoch than that of the file", ErrConflict)
	}
	return last + 1, nil
}

// bareEngine returns an Engine that reads and writes records and nothing else: nothing is cached, nothing runs beside
// it. It must not be closed.
func bareEngine(ctx context.Context, store kv.Store) (*Engine, error) {
	c, err := (&Config{Logger: slog.New(slog.DiscardHandler)}).withDefaults()
	if err != nil {
		return nil, err
	}
	e := &Engine{cfg: *c, store: store, log: c.Logger, clock: newClock(nil)}
	e.cache = newCache(-1, -1, &e.denied)
	e.sweeper.e = e
	return e, e.view(ctx, e.readSettings)
}
