package latchbolt

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/latchbolt-go/latchbolt/internal/kv"
	"github.com/latchbolt-go/latchbolt/internal/kv/boltkv"
	"github.com/latchbolt-go/latchbolt/internal/record"
)

// ActionSalvage is what the audit trail of a salvaged file says of [Salvage].
const ActionSalvage = "salvage"

// SalvageOptions say how [Salvage] goes about it. Nil, and the zero SalvageOptions, mean the defaults.
type SalvageOptions struct {
	// AllowStale takes what the file seems to hold for its newest state, also where nothing proves it. A
	// password that was changed, a user who was deactivated and a permission that was withdrawn may come
	// back to life with it. It is for somebody who is going to look through the result.
	AllowStale bool
	// LockTimeout is how long to wait for another process to let go of the damaged file. 0 means 1 s;
	// negative means not at all.
	LockTimeout time.Duration
}

// A SalvageReport says what [Salvage] took over.
type SalvageReport struct {
	// Doubt says why it is not proven that what was found is the newest state of the file. Empty means that it is proven.
	Doubt string
	// Counts has one element for each kind of record, always in the same order.
	Counts []SalvageCount
	// Findings are what was wrong, and what became of it, at most 1000.
	Findings []Finding
	// Epoch is that of the new file. No session of the old one is valid in it.
	Epoch uint32
}

// A SalvageCount counts the records of one kind.
type SalvageCount struct {
	Kind     string // "users", "groups", "permissions", "grants", "logins", "counters" or "audit entries"
	Kept     int    // as they were
	Stripped int    // only users: kept without what gives power, see [Salvage]
	Dropped  int    // intact, but left out: what they belong to is gone, or they may be out of date
	Lost     int    // damaged, or known only from what refers to them
}

// Count returns the element of Counts for a kind, or the zero SalvageCount.
func (r *SalvageReport) Count(kind string) SalvageCount {
	for _, c := range r.Counts {
		if c.Kind == kind {
			return c
		}
	}
	return SalvageCount{}
}

// Salvage makes a new file at dst of what is intact in the damaged file src. It is the last resort: a
// backup, put in place with [Restore], has everything, and what it has belongs together.
//
// src is only read, without the code that damage could crash. Nobody may have it open; the error is [ErrLocked] then. Users with their
// memberships, groups, permissions, grants, last logins, counters of failed logins and the audit trail are taken over where their checksums
// are right; all indexes and counts are made anew from them. What refers to something that is lost is left out. Sessions and
// one-time tokens are not taken over, and none of the old file, wherever it is kept, is valid in the new one.
//
// Nothing gets more rights than it had. The pages of a damaged file may be old ones, with the rights of former times. If it cannot be
// excluded, the report's Doubt says why, and what gives power is left out: no grant is taken over, and users are stripped, which
// means that they are inactive, without password, groups, staff and superuser status. What the
// tree of the file has lost and a search found again is treated so in any case. It can be excluded in a file that was closed
// in order, and not in one whose program was killed. AllowStale does without the proof.
//
// dst is a new file of mode 0600, verified, whole and durable, or there is none: the error wraps fs.ErrExist if there is something at dst, and is
// [ErrCorrupt] if src does not hold as much as a latchbolt file's format record.
func Salvage(ctx context.Context, src, dst string, opts *SalvageOptions) (SalvageReport, error) {
	var o SalvageOptions
	if opts != nil {
		o = *opts
	}
	orDefault(&o.LockTimeout, time.Second)
	s := &salvager{ctx: ctx, allowStale: o.AllowStale, lost: make(map[lostKey]bool), stripped: make(map[UserID]bool)}
	err := boltkv.Salvage(ctx, src, buckets, max(o.LockTimeout, time.Millisecond), func(w *boltkv.Wreck) error {
		s.wreck = w
		return s.run(dst)
	})
	if err != nil {
		return SalvageReport{}, fmt.Errorf("latchbolt: salvaging %q to %q: %w", src, dst, fromStore(err))
	}
	return s.report(), nil
}

// Kinds of records that are counted.
const (
	salvageUsers = iota
	salvageGroups
	salvagePerms
	salvageGrants
	salvageLogins
	salvageCounters
	salvageAudit
	salvageKinds
)

var salvageNames = [salvageKinds]string{"users", "groups", "permissions", "grants", "logins", "counters", "audit entries"}

// A lostKey is a record that is known to have been.
type lostKey struct {
	kind int
	key  string
}

// A salvager makes a new file of a damaged one.
type salvager struct {
	ctx        context.Context
	wreck      *boltkv.Wreck
	allowStale bool
	meta       metaRecord
	ids        idsRecord
	clock      time.Time
	epoch      uint32
	e          *Engine

	salvaged
	lost     map[lostKey]bool
	stripped map[UserID]bool
}

// salvaged is what a transaction that is run again has to take back.
type salvaged struct {
	counts   [salvageKinds]SalvageCount
	findings []Finding
}

func (s *salvager) found(where, format string, args ...any) {
	if len(s.findings) < maxFindings {
		s.findings = append(s.findings, Finding{Where: where, What: fmt.Sprintf(format, args...)})
	}
}

// drop leaves out a record that is intact.
func (s *salvager) drop(kind int, b kv.Bucket, key []byte, format string, args ...any) {
	s.counts[kind].Dropped++
	s.found(fmt.Sprintf("%s %x", b, key), "left out: "+format, args...)
}

// lose notes a record that was there and is not any more.
func (s *salvager) lose(kind int, b kv.Bucket, key []byte, format string, args ...any) {
	k := lostKey{kind, string(key)}
	if !s.lost[k] {
		s.lost[k] = true
		s.found(fmt.Sprintf("%s %x", b, key), "lost: "+format, args...)
	}
}

// genuine reports whether a record belongs where it is said to be from.
func genuine(b kv.Bucket, key, value []byte) bool {
	_, err := record.Open(string(b), key, value, recordVersion)
	return err == nil
}

// trusted reports whether a record may give power.
func (s *salvager) trusted(r boltkv.Relic) bool { return r.Current || s.allowStale && r.Reached }

func (s *salvager) run(dst string) error {
	if err := s.settings(); err != nil {
		return err
	}
	o := &boltkv.Options{Buckets: buckets, Check: checkFormat, Init: s.init}
	return boltkv.NewFile(s.ctx, dst, o, func(store *boltkv.Store) error {
		e, err := bareEngine(s.ctx, store)
		if err != nil {
			return err
		}
		if e.hashes, err = newHashPool(e.cfg.hashConfig()); err != nil {
			return err
		}
		s.e = e
		if err := e.view(s.ctx, func(tx *ReadTx) error { return e.costs.read(tx, e) }); err != nil {
			return err
		}
		return s.fill()
	})
}

// settings finds what there is one of in a file, wherever there is still a copy of it: numbers that only go up, and what never changes.
func (s *salvager) settings() error {
	have := false
	var newer error
	for r := range s.wreck.Trace(bucketMeta, genuine) {
		body, err := unseal(bucketMeta, r.Key, r.Value)
		if err != nil {
			continue
		}
		switch string(r.Key) {
		case string(keyFormat):
			m, err := decodeMeta(r.Value)
			if errors.Is(err, ErrNewerFormat) {
				newer = err
			}
			if err == nil {
				s.meta, have = *m, true
			}
		case string(keyIDs):
			if i, err := decodeIDs(&body); err == nil {
				s.ids = idsRecord{max(s.ids.user, i.user), max(s.ids.group, i.group), max(s.ids.perm, i.perm)}
			}
		case string(keyEpoch):
			if n := body.Uint32(); body.Done() == nil {
				s.epoch = max(s.epoch, n)
			}
		case string(keyClock):
			if at := readTime(&body); body.Done() == nil && at.After(s.clock) {
				s.clock = at
			}
		}
	}
	switch {
	case newer != nil:
		return newer
	case s.ctx.Err() != nil:
		return s.ctx.Err()
	case !have:
		return corrupt("there is no intact record of the format in it, so that nothing can be made of the rest, or it is no latchbolt file", nil)
	}
	// Whether the epoch that was found is the newest one cannot be told from it.
	var err error
	s.epoch, err = nextEpoch(s.epoch, func(kv.Bucket, []byte) ([]byte, error) { return nil, ErrCorrupt }, time.Now())
	return err
}

// init writes the first records of the new file.
func (s *salvager) init(w kv.Tx) error {
	epoch := record.New(recordVersion)
	epoch.AddUint32(s.epoch)
	for _, first := range []struct {
		key []byte
		rec *record.Builder
	}{
		{keyFormat, s.meta.encode()},
		{keyIDs, s.ids.encode()},
		{keyEpoch, epoch},
		{keyClock, timeRecord(s.clock)},
	} {
		v, err := seal(bucketMeta, first.key, first.rec)
		if err == nil {
			err = w.Put(bucketMeta, first.key, v)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// fill takes over one kind of records after the other, each before what refers to it.
func (s *salvager) fill() error {
	for _, step := range []struct {
		bucket kv.Bucket
		kind   int
		keyLen int // 0: any
		take   func(*Tx, boltkv.Relic, *record.Body) error
	}{
		{bucketPerm, salvagePerms, 4, s.perm},
		{bucketGroup, salvageGroups, 8, s.group},
		{bucketUser, salvageUsers, 8, s.user},
		{bucketGrant, salvageGrants, 0, s.grant},
		{bucketLogin, salvageLogins, 8, s.login},
		{bucketSessionNew, salvageLogins, 24, s.newLogin},
		{bucketThrottle, salvageCounters, 9, s.counter},
		{bucketAudit, salvageAudit, 8, s.audit},
	} {
		err := s.batches(step.bucket, func(tx *Tx, r boltkv.Relic) error {
			body, err := unseal(step.bucket, r.Key, r.Value)
			if err == nil && step.keyLen > 0 && len(r.Key) != step.keyLen {
				err = corrupt("the key has a wrong length", nil)
			}
			if err == nil {
				err = step.take(tx, r, &body)
			}
			if errors.Is(err, ErrCorrupt) || errors.Is(err, ErrNewerFormat) {
				s.lose(step.kind, step.bucket, r.Key, "%v", err)
				return nil
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	if err := s.missing(); err != nil {
		return err
	}
	return s.finish()
}

// salvageBatch is how many records one transaction takes over.
const salvageBatch = 1000

// batches calls fn for each record of a bucket, some hundred in one transaction.
func (s *salvager) batches(b kv.Bucket, fn func(*Tx, boltkv.Relic) error) error {
	var batch []boltkv.Relic
	flush := func() error {
		before := salvaged{s.counts, s.findings}
		err := s.e.update(s.ctx, func(tx *Tx) error {
			s.counts, s.findings = before.counts, before.findings[:len(before.findings):len(before.findings)]
			for _, r := range batch {
				if err := fn(tx, r); err != nil {
					return err
				}
			}
			return nil
		})
		batch = batch[:0]
		return err
	}
	for r, err := range s.wreck.Scan(b, genuine) {
		if err != nil {
			return err
		}
		if batch = append(batch, r); len(batch) == salvageBatch {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// again reports whether a record was taken over already.
func (s *salvager) again(tx *Tx, kind int, b kv.Bucket, key []byte) (bool, error) {
	taken, err := tx.has(b, key)
	if taken {
		s.drop(kind, b, key, "there are two of it")
	}
	return taken, err
}

// missing looks through the indexes for what is not there any more.
func (s *salvager) missing() error {
	for _, index := range []struct {
		bucket, of kv.Bucket
		kind       int
		last       func(id uint64)
		key        func(id uint64) []byte
	}{
		{bucketUserName, bucketUser, salvageUsers, func(id uint64) { s.ids.user = max(s.ids.user, UserID(id)) }, be64},
		{bucketGroupName, bucketGroup, salvageGroups, func(id uint64) { s.ids.group = max(s.ids.group, GroupID(id)) }, be64},
		{bucketPermName, bucketPerm, salvagePerms, func(id uint64) { s.ids.perm = max(s.ids.perm, PermissionID(id)) },
			func(id uint64) []byte { return be32(uint32(id)) }},
	} {
		err := s.batches(index.bucket, func(tx *Tx, r boltkv.Relic) error {
			body, err := unseal(index.bucket, r.Key, r.Value)
			if err != nil || !r.Reached {
				return nil // it is made anew
			}
			id := body.Uint64()
			if body.Done() != nil {
				return nil
			}
			index.last(id)
			there, err := tx.has(index.of, index.key(id))
			if err == nil && !there {
				s.lose(index.kind, index.of, index.key(id), "its name is still there")
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	err := s.batches(bucketHolder, func(tx *Tx, r boltkv.Relic) error {
		subject, ok := parseSubject(r.Key[min(4, len(r.Key)):])
		if !ok || len(r.Key) < grantObjectFrom || !genuine(bucketHolder, r.Key, r.Value) || !s.trusted(r) {
			return nil
		}
		key := grantKey(subject, PermissionID(binary.BigEndian.Uint32(r.Key)), Object(r.Key[grantObjectFrom:]))
		there, err := tx.has(bucketGrant, key)
		if err == nil && !there {
			s.lose(salvageGrants, bucketGrant, key, "its holder is still there")
		}
		return err
	})
	return err
}

// finish writes what follows from all, and looks through the new file.
func (s *salvager) finish() error {
	total := s.report()
	err := s.e.update(s.ctx, func(tx *Tx) error {
		if err := tx.put(bucketMeta, keyIDs, s.ids.encode()); err != nil {
			return err
		}
		u := total.Count(salvageNames[salvageUsers])
		return tx.audit(AuditEntry{Action: ActionSalvage, Detail: fmt.Sprintf("%d users kept, %d stripped, %d lost", u.Kept, u.Stripped, u.Lost)})
	})
	if err != nil {
		return err
	}
	findings, err := s.e.findings(s.ctx)
	if err == nil && len(findings) > 0 {
		err = corrupt(fmt.Sprintf("what was made of it is not sound: %d findings, the first: %v", len(findings), findings[0]), nil)
	}
	return err
}

// report adds up what was done.
func (s *salvager) report() SalvageReport {
	r := SalvageReport{Doubt: s.wreck.Unproven(), Epoch: s.epoch}
	for kind, c := range s.counts {
		c.Kind = salvageNames[kind]
		for k := range s.lost {
			if k.kind == kind {
				c.Lost++
			}
		}
		r.Counts = append(r.Counts, c)
	}
	defects, more := s.wreck.Defects()
	for _, d := range defects {
		r.Findings = append(r.Findings, Finding{Where: "file", What: d.Error()})
	}
	if more > 0 {
		r.Findings = append(r.Findings, Finding{Where: "file", What: fmt.Sprintf("and %d more", more)})
	}
	r.Findings = append(r.Findings, s.findings...)
	return r
}
