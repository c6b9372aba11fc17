package memkv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/latchbolt-go/latchbolt/internal/kv"
)

// BulkUpdate implements [kv.BulkUpdater]. What is loaded is in memory in any case.
func (s *Store) BulkUpdate(ctx context.Context, fn func(kv.Bulk) error, last func()) (kv.Rev, error) {
	return s.write(ctx, func(now *state) (*state, error) {
		b := &bulk{merged: make(map[kv.Bucket]*node)}
		_, err := s.try(now, func(t kv.Tx) error {
			b.tx = t.(*tx)
			return fn(b)
		})
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		next := &tx{s: s, buckets: b.buckets}
		for name, root := range b.merged {
			next.set(name, root)
		}
		last()
		return &state{rev: now.rev + 1, buckets: next.buckets}, nil
	})
}

// A bulk is a transaction that can also merge. It implements [kv.Bulk].
type bulk struct {
	*tx
	merged map[kv.Bucket]*node // not seen by reads
}

// unmerged tells whether bucket b can still be written to.
func (t *bulk) unmerged(b kv.Bucket) error {
	if _, ok := t.merged[b]; ok {
		return fmt.Errorf("memkv: bulk update: bucket %q was merged into already", b)
	}
	return nil
}

// Put implements [kv.Tx].
func (t *bulk) Put(b kv.Bucket, key, value []byte) error {
	return errors.Join(t.unmerged(b), t.tx.Put(b, key, value))
}

// Delete implements [kv.Tx].
func (t *bulk) Delete(b kv.Bucket, key []byte) error {
	return errors.Join(t.unmerged(b), t.tx.Delete(b, key))
}

// DeletePrefix implements [kv.Tx].
func (t *bulk) DeletePrefix(b kv.Bucket, prefix []byte) error {
	return errors.Join(t.unmerged(b), t.tx.DeletePrefix(b, prefix))
}

// DeleteSome implements [kv.Tx].
func (t *bulk) DeleteSome(b kv.Bucket, prefix []byte, n int) (bool, error) {
	if err := t.unmerged(b); err != nil {
		return false, err
	}
	return t.tx.DeleteSome(b, prefix, n)
}

// Merge implements [kv.Bulk].
func (t *bulk) Merge(b kv.Bucket, pairs iter.Seq2[kv.Pair, error], taken func(kv.Pair) error) error {
	if err := errors.Join(t.check(b), t.unmerged(b)); err != nil {
		return err
	}
	old := t.buckets[b]
	into := &tx{s: t.s, buckets: map[kv.Bucket]*node{b: old}}
	var last []byte
	for p, err := range pairs {
		if err != nil {
			return err
		}
		if bytes.Compare(last, p.Key) >= 0 {
			return fmt.Errorf("memkv: bulk update: bucket %q: keys are not ascending", b)
		}
		last = append(last[:0], p.Key...)
		if taken != nil && old.get(p.Key) != nil {
			if err := taken(p); err != nil {
				return err
			}
			continue
		}
		if err := into.Put(b, p.Key, p.Value); err != nil {
			return err
		}
	}
	t.merged[b] = into.buckets[b]
	return nil
}
