package latchbolt

import (
	"bytes"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/latchbolt-go/latchbolt/internal/kv"
	"github.com/latchbolt-go/latchbolt/internal/record"
)

// This file is what happens after the function given to Load has returned: what was collected is put into
// the buckets in the order of its keys. Names come first, for there it shows which users cannot stay.

// A droppedUser is left out of the load.
type droppedUser struct {
	id     UserID
	email  bool // it is the address that is taken, not the name
	inFile bool
}

// finish puts everything into its place.
func (l *Loader) finish(opts *LoadOptions) error {
	if err := l.flush(); err != nil {
		return err
	}
	if err := l.encoder.finish(l.batch); err != nil {
		return err
	}
	if l.e.cfg.UniqueEmail {
		// Who has no address is to have no name, and the other way round: look before anything is put.
		if err := l.findTakenNames(); err != nil {
			return err
		}
		if err := l.bulk.Merge(bucketUserEmail, l.emails(), nil); err != nil {
			return fromStore(err)
		}
		l.sortDropped()
	}
	if err := l.bulk.Merge(bucketUserName, l.names(), l.nameTaken); err != nil {
		return fromStore(err)
	}
	l.sortDropped()
	if !l.e.cfg.UniqueEmail {
		if err := l.bulk.Merge(bucketUserEmail, l.emails(), nil); err != nil {
			return fromStore(err)
		}
	}
	if err := l.reportDropped(opts); err != nil {
		return err
	}
	if err := l.bulk.Merge(bucketUser, l.records(), nil); err != nil {
		return fromStore(err)
	}
	ofUser := func(key []byte) UserID { return keyUser(key) }
	for _, m := range []struct {
		bucket kv.Bucket
		class  byte
		user   func(key []byte) UserID
	}{
		{bucketLogin, loadLogin, ofUser},
		{bucketSuperuser, loadSuper, ofUser},
		{bucketMember, loadMember, func(key []byte) UserID { return keyUser(key[8:]) }},
		{bucketGrant, loadGrant, func(key []byte) UserID { return keyUser(key[1:]) }},
		{bucketHolder, loadHolder, func(key []byte) UserID { return keyUser(key[5:]) }},
	} {
		if err := l.bulk.Merge(m.bucket, l.entries(m.bucket, m.class, m.user), nil); err != nil {
			return fromStore(err)
		}
	}
	return l.settings(opts)
}

// settings writes what there is one of: the last identifiers, the numbers of hashes, the audit entry.
func (l *Loader) settings(opts *LoadOptions) error {
	ids, err := l.tx.ids()
	if err != nil {
		return err
	}
	ids.user = l.last
	if err := l.tx.put(bucketMeta, keyIDs, ids.encode()); err != nil {
		return err
	}
	if err := l.tx.storeCosts(); err != nil {
		return err
	}
	n := len(l.dropped)
	detail := fmt.Sprintf("%d users, %d left out", l.count-int64(n), n)
	return l.tx.audit(AuditEntry{Action: ActionLoad, Detail: strings.TrimSpace(detail + " " + opts.Detail)})
}

// drop leaves a user out, of whom there is a name or an address already.
func (l *Loader) drop(id UserID, email, inFile bool) {
	l.fresh = append(l.fresh, droppedUser{id, email, inFile})
}

// sortDropped makes those that were dropped known to isDropped.
func (l *Loader) sortDropped() {
	l.dropped = append(l.dropped, l.fresh...)
	l.fresh = nil
	slices.SortFunc(l.dropped, func(a, b droppedUser) int { return compareIDs(a.id, b.id) })
}

func compareIDs(a, b UserID) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func (l *Loader) isDropped(id UserID) bool {
	if len(l.dropped) == 0 {
		return false
	}
	_, found := slices.BinarySearchFunc(l.dropped, id, func(d droppedUser, id UserID) int { return compareIDs(d.id, id) })
	return found
}

// names yields the index by name.
func (l *Loader) names() iter.Seq2[kv.Pair, error] {
	return func(yield func(kv.Pair, error) bool) {
		var prev []byte
		for en, err := range l.sorted.Sorted(loadName) {
			if err == nil && l.isDropped(keyUser(en.Value)) {
				continue
			}
			if err == nil && bytes.Equal(en.Key, prev) {
				l.drop(keyUser(en.Value), false, l.inFile)
				continue
			}
			prev, l.inFile = append(prev[:0], en.Key...), false
			if !l.yieldSealed(yield, bucketUserName, en.Key, en.Value, err) {
				return
			}
		}
	}
}

// nameTaken is told of a name that is in the file already.
func (l *Loader) nameTaken(p kv.Pair) error {
	body, err := unseal(bucketUserName, p.Key, p.Value)
	if err == nil {
		l.inFile = true // which counts for those of the same name too that come next
		l.drop(UserID(body.Uint64()), false, true)
	}
	return err
}

// findTakenNames finds out what a merge of the names would.
func (l *Loader) findTakenNames() error {
	for p, err := range l.names() {
		if err != nil {
			return err
		}
		taken, err := l.tx.has(bucketUserName, p.Key)
		if err == nil && taken {
			err = l.nameTaken(p)
		}
		if err != nil {
			return err
		}
	}
	l.sortDropped()
	return nil
}

// yieldSealed yields the record that has a body, or an error in its place. The value is valid until the next one.
func (l *Loader) yieldSealed(yield func(kv.Pair, error) bool, b kv.Bucket, key, body []byte, err error) bool {
	if err != nil {
		yield(kv.Pair{}, err)
		return false
	}
	l.sealed = record.Append(l.sealed[:0], recordVersion, body, string(b), key)
	return yield(kv.Pair{Key: key, Value: l.sealed}, nil)
}

// emails yields the index by address.
func (l *Loader) emails() iter.Seq2[kv.Pair, error] {
	return func(yield func(kv.Pair, error) bool) {
		var prev []byte
		var inFile bool
		for en, err := range l.sorted.Sorted(loadEmail) {
			id, key := UserID(0), en.Key
			if err == nil {
				id = keyUser(en.Value)
			}
			if l.isDropped(id) {
				continue
			}
			if err == nil && l.e.cfg.UniqueEmail {
				again := bytes.Equal(en.Key, prev)
				if !again {
					prev = append(prev[:0], en.Key...)
					inFile, err = l.emailInFile(en.Key)
				}
				if err == nil && (again || inFile) {
					l.drop(id, true, inFile)
					continue
				}
				key = append(prev[:len(prev):len(prev)], en.Value...)
			}
			if !l.yieldSealed(yield, bucketUserEmail, key, en.Value, err) {
				return
			}
		}
	}
}

// emailInFile reports whether an address belongs to a user that was there before.
func (l *Loader) emailInFile(prefix []byte) (bool, error) {
	ids, err := l.tx.idsByEmail(prefix, 1)
	return len(ids) > 0, err
}

// records yields the users that stay.
func (l *Loader) records() iter.Seq2[kv.Pair, error] {
	return func(yield func(kv.Pair, error) bool) {
		for u, err := range l.encoder.all() {
			if err == nil && l.isDropped(keyUser(u.key)) {
				continue
			}
			if !yield(kv.Pair{Key: u.key, Value: u.record}, err) || err != nil {
				return
			}
		}
	}
}

// reportDropped tells of the users that are left out.
func (l *Loader) reportDropped(opts *LoadOptions) error {
	if len(l.dropped) == 0 {
		return nil
	}
	left := l.dropped
	for u, err := range l.encoder.all() {
		if err != nil {
			return err
		}
		id := keyUser(u.key)
		if len(left) == 0 || left[0].id != id {
			continue
		}
		body, err := unseal(bucketUser, u.key, u.record)
		if err != nil {
			return err
		}
		r, err := decodeUser(id, &body)
		if err != nil {
			return err
		}
		e := &DuplicateError{Line: u.line, ID: id, Field: "username", Value: r.Username, InFile: left[0].inFile}
		if left[0].email {
			e.Field, e.Value = "email", r.Email
		}
		if opts.OnDuplicate == nil {
			return e
		}
		if err := opts.OnDuplicate(e); err != nil {
			return err
		}
		l.tx.countHash(r.hash, PasswordHash{})
		left = left[1:]
	}
	return nil
}

// entries yields the entries of another class whose users stay. What was collected with the key is the body of the record.
func (l *Loader) entries(b kv.Bucket, class byte, user func(key []byte) UserID) iter.Seq2[kv.Pair, error] {
	return func(yield func(kv.Pair, error) bool) {
		var prev []byte
		for en, err := range l.sorted.Sorted(class) {
			if err == nil && (l.isDropped(user(en.Key)) || bytes.Equal(prev, en.Key)) {
				continue // what was granted twice is granted
			}
			prev = append(prev[:0], en.Key...)
			if !l.yieldSealed(yield, b, en.Key, en.Value, err) {
				return
			}
		}
	}
}
