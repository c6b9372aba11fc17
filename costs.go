package latchbolt

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/latchbolt-go/latchbolt/internal/record"
)

// Every failed login does the same amount of work, so it has to be as much as the
// dearest password hash in the file asks for. The file therefore counts its
// hashes by cost, in bucketHashCost; hashes of the preferred hasher, which are
// the most, are not counted, so that making a user does not write a shared record.
// Which cost is not counted stands in the file, under the cost 0, as soon as there is such a
// hash. When another hasher is preferred, all are counted again.

// costClasses is what the file says, in memory.
type costClasses struct {
	mu        sync.Mutex // guards all below
	counts    map[int64]int64
	uncounted int64 // the cost whose hashes are not counted; 0: there are none
}

// uncountedKey is the cost under which the file says which cost is not counted.
const uncountedKey = 0

// read fills the classes from the file.
func (c *costClasses) read(tx *ReadTx, e *Engine) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts, c.uncounted = make(map[int64]int64), 0
	for en, err := range tx.scan(bucketHashCost, nil, nil) {
		if err != nil {
			return err
		}
		cost, n := int64(binary.BigEndian.Uint64(en.key)), en.body.Int64()
		if err := en.body.Done(); err != nil {
			return fromRecord(bucketHashCost, en.key, err)
		}
		if cost == uncountedKey {
			c.uncounted = n
		} else {
			c.counts[cost] = n
		}
	}
	c.setCeiling(e)
	return nil
}

func (c *costClasses) setCeiling(e *Engine) {
	var top int64
	for cost, n := range c.counts {
		if n > 0 {
			top = max(top, cost)
		}
	}
	e.hashes.setCeiling(top)
}

// apply follows a transaction that is durable.
func (c *costClasses) apply(changes map[int64]int64, e *Engine) {
	if len(changes) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for cost, n := range changes {
		if cost == uncountedKey {
			c.uncounted = n
		} else {
			c.counts[cost] += n
		}
	}
	c.setCeiling(e)
}

func (c *costClasses) notCounted() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.uncounted
}

// recount counts all hashes of the file if another hasher was preferred so far.
func (c *costClasses) recount(e *Engine) error {
	if was := c.notCounted(); was == 0 || was == e.hashes.preferredCost() {
		return nil
	}
	err := e.update(context.Background(), func(tx *Tx) error {
		counts := make(map[int64]int64)
		for en, err := range tx.scan(bucketUser, nil, nil) {
			if err != nil {
				return err
			}
			u, err := decodeUser(keyUser(en.key), &en.body)
			if err != nil {
				return err
			}
			counts[e.hashes.cost(u.hash)]++
		}
		delete(counts, 0)
		delete(counts, e.hashes.preferredCost())
		counts[uncountedKey] = e.hashes.preferredCost()
		if err := tx.deletePrefix(bucketHashCost, nil); err != nil {
			return err
		}
		for cost, n := range counts {
			if err := tx.putCost(cost, n); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return e.view(context.Background(), func(tx *ReadTx) error { return c.read(tx, e) })
}

// countHash notes that a user's hash is replaced.
func (tx *Tx) countHash(old, new PasswordHash) {
	for _, h := range []struct {
		PasswordHash
		n int64
	}{{old, -1}, {new, 1}} {
		cost := tx.e.hashes.cost(h.PasswordHash)
		if cost <= 0 {
			continue
		}
		if cost == tx.e.hashes.preferredCost() && tx.e.costs.notCounted() == cost {
			continue
		}
		if tx.fx.costs == nil {
			tx.fx.costs = make(map[int64]int64)
		}
		if cost == tx.e.hashes.preferredCost() {
			tx.fx.costs[uncountedKey] = cost
		} else {
			tx.fx.costs[cost] += h.n
		}
	}
}

// storeCosts writes the counts that this transaction changes.
func (tx *Tx) storeCosts() error {
	for cost, n := range tx.fx.costs {
		if n == 0 {
			continue
		}
		if cost == uncountedKey {
			if err := tx.putCost(cost, n); err != nil {
				return err
			}
			continue
		}
		key := be64(uint64(cost))
		body, ok, err := tx.get(bucketHashCost, key)
		if err != nil {
			return err
		}
		var count int64
		if ok {
			count = body.Int64()
		}
		if err := tx.putCost(cost, count+n); err != nil {
			return err
		}
	}
	return nil
}

func (tx *Tx) putCost(cost, n int64) error {
	r := record.New(recordVersion)
	r.AddInt64(n)
	if err := tx.put(bucketHashCost, be64(uint64(cost)), r); err != nil {
		return fmt.Errorf("latchbolt: counting hashes: %w", err)
	}
	return nil
}
