package latchbolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/latchbolt-go/latchbolt/internal/kv"
	"github.com/latchbolt-go/latchbolt/internal/record"
)

// A ReadTx reads one consistent state of the file. It is valid only inside the
// function it was given to, and only on one goroutine.
type ReadTx struct {
	e   *Engine
	r   kv.Reader
	ctx context.Context
	now time.Time

	memory bool // fn asked for what is in memory until the file says it
}

// A Tx reads and changes the file in one transaction: all of it happens or
// nothing does. The function it is given to may run more than once, so it must
// have no other effects; those belong into [Tx.OnCommit]. If a method of a Tx
// fails, the function should return the error, which undoes everything.
type Tx struct {
	ReadTx
	w  kv.Tx
	fx *effects
}

// Now returns the engine's time for this transaction. It never goes back.
func (tx *ReadTx) Now() time.Time { return tx.now }

// Context returns the context given to View or Update.
func (tx *ReadTx) Context() context.Context { return tx.ctx }

// OnCommit calls fn after the change is durable, before Update returns. If it is
// not made, fn is not called.
func (tx *Tx) OnCommit(fn func()) { tx.fx.after = append(tx.fx.after, fn) }

// effects is what a transaction does outside the store once it is durable, and
// what the cache has to forget before.
type effects struct {
	users     []UserID
	sessions  []selector
	groups    []GroupID
	policy    bool // permissions were removed
	defined   []Permission
	index     *permIndex // to which those are added, if nobody else changed it
	indexN    uint64     // cache.policyN when it was current
	dropped   []UserID   // whose state was in memory until the fence, in this run of the function or an earlier one
	idsBefore *idsRecord // identifiers given out before this transaction
	after     []func()
	costs     map[int64]int64 // change in the number of hashes, by cost

	newSessions int // filed as new
	audited     int // entries of the audit trail

	counted UserID // whose sessions were counted, in this run of the function or an earlier one; see heldCount
}

func (fx *effects) reset() { *fx = effects{counted: fx.counted, dropped: fx.dropped} }

// maxDropped is how many users whose state a change drops are read again by the one who made it. The others, of a large group, are
// read when they come.
const maxDropped = 64

// drop notes that the state of a user went out of memory.
func (fx *effects) drop(id UserID) {
	if len(fx.dropped) < maxDropped {
		fx.dropped = append(fx.dropped, id)
	}
}

func (tx *Tx) touchUser(id UserID)   { tx.fx.users = append(tx.fx.users, id) }
func (tx *Tx) touchGroup(id GroupID) { tx.fx.groups = append(tx.fx.groups, id) }
func (tx *Tx) touchSubject(s Subject) {
	switch id := s.(type) {
	case UserID:
		tx.touchUser(id)
	case GroupID:
		tx.touchGroup(id)
	}
}

// The record level: everything above works on bodies of records, and every
// value that is stored has a frame.

// get returns the body of a record, and whether there is one.
func (tx *ReadTx) get(b kv.Bucket, key []byte) (body record.Body, ok bool, err error) {
	v, err := tx.r.Get(b, key)
	if err != nil || v == nil {
		return record.Body{}, false, fromStore(err)
	}
	body, err = unseal(b, key, v)
	return body, err == nil, err
}

// has reports whether a record is there.
func (tx *ReadTx) has(b kv.Bucket, key []byte) (bool, error) {
	_, ok, err := tx.get(b, key)
	return ok, err
}

// An entry is a key with the body of its record.
type entry struct {
	key  []byte
	body record.Body
}

// scan yields the records under a prefix, from a key on.
func (tx *ReadTx) scan(b kv.Bucket, prefix, from []byte) iter.Seq2[entry, error] {
	return opened(b, tx.r.Scan(b, prefix, from))
}

// none reports whether there is certainly no record under a prefix, where that is quicker to find out than by a scan.
func (tx *ReadTx) none(b kv.Bucket, prefix []byte) (bool, error) {
	p, ok := tx.r.(kv.Prober)
	if !ok {
		return false, nil
	}
	none, err := p.None(b, prefix)
	return none, fromStore(err)
}

func (tx *ReadTx) scanBack(b kv.Bucket, prefix, before []byte) iter.Seq2[entry, error] {
	return opened(b, tx.r.ScanBack(b, prefix, before))
}

func opened(b kv.Bucket, pairs iter.Seq2[kv.Pair, error]) iter.Seq2[entry, error] {
	return func(yield func(entry, error) bool) {
		for p, err := range pairs {
			if err != nil {
				yield(entry{}, fromStore(err))
				return
			}
			body, err := unseal(b, p.Key, p.Value)
			if !yield(entry{p.Key, body}, err) || err != nil {
				return
			}
		}
	}
}

// put ends a record and stores it. The record's memory goes to another one.
func (tx *Tx) put(b kv.Bucket, key []byte, r *record.Builder) error {
	defer r.Free() // the store has copied it
	return tx.putAgain(b, key, r)
}

// putAgain is put of a record that a second run of the function will use again.
func (tx *Tx) putAgain(b kv.Bucket, key []byte, r *record.Builder) error {
	v, err := seal(b, key, r)
	if err != nil {
		return err
	}
	return tx.putErr(b, tx.w.Put(b, key, v))
}

// putErr names the bucket of a record that was too large.
func (tx *Tx) putErr(b kv.Bucket, err error) error {
	if err = fromStore(err); err != nil {
		return fmt.Errorf("latchbolt: storing in %s: %w", b, err)
	}
	return nil
}

// mark stores a record without a body: its key says it all.
func (tx *Tx) mark(b kv.Bucket, key []byte) error {
	return tx.put(b, key, record.New(recordVersion))
}

// putID stores an index entry that leads to an identifier.
func (tx *Tx) putID(b kv.Bucket, key []byte, id uint64) error {
	r := record.New(recordVersion)
	r.AddUint64(id)
	return tx.put(b, key, r)
}

// getID reads an index entry; 0 means that there is none.
func (tx *ReadTx) getID(b kv.Bucket, key []byte) (uint64, error) {
	body, ok, err := tx.get(b, key)
	if err != nil || !ok {
		return 0, err
	}
	id := body.Uint64()
	return id, fromRecord(b, key, body.Done())
}

func (tx *Tx) delete(b kv.Bucket, key []byte) error { return fromStore(tx.w.Delete(b, key)) }

func (tx *Tx) deletePrefix(b kv.Bucket, prefix []byte) error {
	return fromStore(tx.w.DeletePrefix(b, prefix))
}

// deleteSome deletes the first n records under a prefix, and reports whether there are others.
func (tx *Tx) deleteSome(b kv.Bucket, prefix []byte, n int) (more bool, err error) {
	more, err = tx.w.DeleteSome(b, prefix, n)
	return more, fromStore(err)
}

// deleteAll deletes keys collected before, since a bucket must not change under a scan.
func (tx *Tx) deleteAll(b kv.Bucket, keys [][]byte) error {
	for _, k := range keys {
		if err := tx.delete(b, k); err != nil {
			return err
		}
	}
	return nil
}

// keys returns copies of at most limit keys under a prefix; limit 0 means all.
func (tx *ReadTx) keys(b kv.Bucket, prefix, from []byte, limit int) ([][]byte, error) {
	var keys [][]byte
	least := leastKey[b]
	for p, err := range tx.r.Scan(b, prefix, from) {
		if err != nil {
			return nil, fromStore(err)
		}
		// The records are not looked at here, so no checksum tells.
		if len(p.Key) < least {
			return nil, corrupt(fmt.Sprintf("%s %x", b, p.Key), errors.New("the key is too short"))
		}
		keys = append(keys, append([]byte(nil), p.Key...))
		if len(keys) == limit {
			break
		}
	}
	return keys, nil
}

// Identifiers come from one record, inside the transaction that uses them.

func (tx *ReadTx) ids() (*idsRecord, error) {
	body, ok, err := tx.get(bucketMeta, keyIDs)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, corrupt("no record of identifiers", nil)
	}
	return decodeIDs(&body)
}

// takeID gives out an identifier: the one wanted, if it is not 0, which then
// must be free, or the next one. The counter never goes down, so that none is given out twice.
func takeID[ID ~uint64 | ~uint32](tx *Tx, want ID, counter func(*idsRecord) *ID, b kv.Bucket, key func(ID) []byte, kind string) (ID, error) {
	ids, err := tx.ids()
	if err != nil {
		return 0, err
	}
	last := counter(ids)
	if tx.fx.idsBefore == nil {
		before := *ids
		tx.fx.idsBefore = &before
	}
	id := want
	if id == 0 {
		id = *last + 1
	} else if taken, err := tx.has(b, key(id)); err != nil || taken {
		if err == nil {
			err = exists(kind, fmt.Sprint(id))
		}
		return 0, err
	}
	if err := checkID(id, *counter(tx.fx.idsBefore), kind); err != nil {
		return 0, err
	}
	if id > *last {
		*last = id
		if err := tx.put(bucketMeta, keyIDs, ids.encode()); err != nil {
			return 0, err
		}
	}
	return id, nil
}

// checkID tells whether an identifier may be given out, the last one before being given.
func checkID[ID ~uint64 | ~uint32](id, before ID, kind string) error {
	switch {
	case id == 0 || id > ^ID(0)>>1:
		return &FieldError{Field: "id", Code: "invalid", Msg: fmt.Sprintf("The identifier %d of a %s is out of range.", id, kind)}
	case id <= before:
		return fmt.Errorf("%w: identifier %d of a %s was given out before and is not given again", ErrConflict, id, kind)
	}
	return nil
}

func keyUser(k []byte) UserID   { return UserID(binary.BigEndian.Uint64(k)) }
func keyGroup(k []byte) GroupID { return GroupID(binary.BigEndian.Uint64(k)) }

// An indexMove says where an index entry was and where it has to be; nil is nowhere.
type indexMove struct {
	bucket   kv.Bucket
	from, to []byte
}

// moveIndex makes one index entry follow a user. The caller made sure that the new place is free.
func (tx *Tx) moveIndex(m indexMove, u *userRecord) error {
	if bytes.Equal(m.from, m.to) {
		return nil
	}
	if m.from != nil {
		if err := tx.delete(m.bucket, m.from); err != nil {
			return err
		}
	}
	if m.to == nil {
		return nil
	}
	return tx.putID(m.bucket, m.to, uint64(u.ID))
}

// timeRecord is a record of nothing but a time.
func timeRecord(t time.Time) *record.Builder {
	r := record.New(recordVersion)
	addTime(r, t)
	return r
}
