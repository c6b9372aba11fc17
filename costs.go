package latchbolt

import (
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/latchbolt-go/latchbolt/internal/record"
)

// Every failed login does the same amount of work, so it has to be as much as the
// dearest password hash in the file asks for. The file therefore counts its
// hashes by cost, in bucketHashCost; hashes of the preferred hasher, which are
// the most, are not counted, so that making a user does not write a shared record.

// costClasses is what the file says, in memory.
type costClasses struct {
	mu     sync.Mutex // guards counts
	counts map[int64]int64
}

// read fills the classes from the file.
func (c *costClasses) read(tx *ReadTx, e *Engine) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts = make(map[int64]int64)
	for en, err := range tx.scan(bucketHashCost, nil, nil) {
		if err != nil {
			return err
		}
		c.counts[int64(binary.BigEndian.Uint64(en.key))] = en.body.Int64()
		if err := en.body.Done(); err != nil {
			return fromRecord(bucketHashCost, en.key, err)
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
		c.counts[cost] += n
	}
	c.setCeiling(e)
}

// countHash notes that a user's hash is replaced.
func (tx *Tx) countHash(old, new PasswordHash) {
	for _, h := range []struct {
		PasswordHash
		n int64
	}{{old, -1}, {new, 1}} {
		cost := tx.e.hashes.cost(h.PasswordHash)
		if cost <= 0 || cost == tx.e.hashes.preferredCost() {
			continue
		}
		if tx.fx.costs == nil {
			tx.fx.costs = make(map[int64]int64)
		}
		tx.fx.costs[cost] += h.n
	}
}

// storeCosts writes the counts that this transaction changes.
func (tx *Tx) storeCosts() error {
	for cost, n := range tx.fx.costs {
		if n == 0 {
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
		// A class of the preferred hasher of earlier days was not counted; going below 0 only
		// says so.
		r := record.New(recordVersion)
		r.AddInt64(count + n)
		if err := tx.put(bucketHashCost, key, r); err != nil {
			return fmt.Errorf("latchbolt: counting hashes: %w", err)
		}
	}
	return nil
}
