package latchbolt

import (
	"context"
	"strings"
	"time"

	"github.com/latchbolt-go/latchbolt/internal/kv"
	"github.com/latchbolt-go/latchbolt/internal/record"
)

// OpenStore makes an Engine on a store that is open already.
func OpenStore(store kv.Store, cfg *Config) (*Engine, error) { return openStore(store, cfg) }

// The names of the engine's buckets, for tests that look at what is stored.
const (
	BucketMeta     = bucketMeta
	BucketSession  = bucketSession
	BucketValues   = bucketValues
	BucketThrottle = bucketThrottle
)

// Buckets are all buckets of a file.
var Buckets = buckets

// CountRecords counts the records of a bucket.
func (tx *ReadTx) CountRecords(b kv.Bucket) (int, error) {
	keys, err := tx.keys(b, nil, nil, 0)
	return len(keys), err
}

// Records yields what is stored, as it is.
func (tx *ReadTx) Records(b kv.Bucket) func(func(kv.Pair, error) bool) {
	return tx.r.Scan(b, nil, nil)
}

// RaiseEpoch makes the sessions of the file those of an earlier time, as a restore does. It is in
// force when the file is opened again.
func (tx *Tx) RaiseEpoch() error {
	r := record.New(recordVersion)
	r.AddUint32(tx.e.epoch.Load() + 1)
	return tx.put(bucketMeta, keyEpoch, r)
}

// RaiseFormat makes the file one of a newer release.
func (tx *Tx) RaiseFormat() error {
	m := *tx.e.meta
	m.format = formatVersion + 1
	return tx.put(bucketMeta, keyFormat, m.encode())
}

// Settle waits for writes that nobody waits for.
func (e *Engine) Settle(ctx context.Context) { e.settleLater(ctx) }

// An AdminRule is a rule of an Administrator as the documentation lists it.
type AdminRule struct{ Method, Field, Needs, Limits string }

// AdminRules are the rules that are in force.
func AdminRules() (all []AdminRule) {
	for _, r := range adminRules {
		var needs, limits []string
		for _, n := range r.needs {
			needs = append(needs, n.String())
		}
		for _, l := range limitTexts {
			if r.limits&l.limit != 0 {
				limits = append(limits, l.text)
			}
		}
		all = append(all, AdminRule{r.function, r.field, strings.Join(needs, ", and "), strings.Join(limits, "; ")})
	}
	return all
}

// CPUTime is what the process has taken of the processors so far.
func CPUTime() time.Duration { return cpuTime() }
