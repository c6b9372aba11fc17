// Package kvtest is what every store must pass: the promises of package kv as
// tests. A store's own tests call Run and add what is particular to it.
package kvtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"

	"github.com/latchbolt-go/latchbolt/internal/kv"
)

// The buckets that a store under test must have, and one that it must not.
const (
	A       kv.Bucket = "kvtest.a"
	B       kv.Bucket = "kvtest.b"
	Unknown kv.Bucket = "kvtest.unknown"
)

// Buckets returns the buckets that a store under test must have.
func Buckets() []kv.Bucket { return []kv.Bucket{A, B} }

// Run tests a store. It calls open for an empty store as often as it needs
// one; the tests close it, and open may close it again in a cleanup.
func Run(t *testing.T, open func(t *testing.T) kv.Store) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, kv.Store)
	}{
		{"values", values},
		{"empty values", emptyValues},
		{"values are copied", valuesAreCopied},
		{"limits", limits},
		{"unknown bucket", unknownBucket},
		{"edges of prefixes", prefixEdges},
		{"bounds of scans", scanBounds},
		{"model", model},
		{"own writes in large scans", largeScans},
		{"iterators", iterators},
		{"revisions", revisions},
		{"error rolls back", errorRollsBack},
		{"panic rolls back", panicRollsBack},
		{"panic in view", panicInView},
		{"Goexit rolls back", goexitRollsBack},
		{"counters", counters},
		{"write skew", writeSkew},
		{"phantoms", phantoms},
		{"snapshot", snapshot},
		{"failing callers disturb nobody", failingCallers},
		{"closures may run twice", runTwice},
		{"context done before", contextBefore},
		{"context done while waiting", contextWaiting},
		{"nested", nestedCalls},
		{"use after the closure", useAfter},
		{"close", closing},
		{"close waits", closeWaits},
		{"watch", watch},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := open(t)
			test.run(t, s)
			if err := s.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
}

// ctx returns the context of the test.
func ctx(t *testing.T) context.Context { return t.Context() }

// put writes pairs to bucket A, given as key, value, key, value.
func put(t *testing.T, s kv.Store, pairs ...string) kv.Rev {
	t.Helper()
	rev, err := s.Update(ctx(t), func(tx kv.Tx) error {
		for i := 0; i < len(pairs); i += 2 {
			if err := tx.Put(A, []byte(pairs[i]), []byte(pairs[i+1])); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatalf("put: %v", err)
	}
	return rev
}

// list returns what a scan yields, as one string.
func list(seq iter.Seq2[kv.Pair, error]) (string, error) {
	var out bytes.Buffer
	for p, err := range seq {
		if err != nil {
			return out.String(), err
		}
		fmt.Fprintf(&out, "%q=%q ", p.Key, p.Value)
	}
	return out.String(), nil
}

// content returns all of a bucket, as one string.
func content(t *testing.T, s kv.Store, b kv.Bucket) (all string) {
	t.Helper()
	_, err := s.View(ctx(t), func(r kv.Reader) (err error) {
		all, err = list(r.Scan(b, nil, nil))
		return err
	})
	if err != nil {
		t.Fatalf("content of %s: %v", b, err)
	}
	return all
}

// wantContent compares all of bucket A with pairs.
func wantContent(t *testing.T, s kv.Store, pairs ...string) {
	t.Helper()
	var want bytes.Buffer
	for i := 0; i < len(pairs); i += 2 {
		fmt.Fprintf(&want, "%q=%q ", pairs[i], pairs[i+1])
	}
	if got := content(t, s, A); got != want.String() {
		t.Errorf("bucket holds %s, want %s", got, want.String())
	}
}

// wantErr reports an error that is not the one wanted.
func wantErr(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: error %v, want %v", what, got, want)
	}
}
