package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
)

// sample chooses at most n of some mutants by a seed; 0 or less is all. Which ones it chooses hardly changes when the
// source does: each has a number that depends on the seed and its text, and the lowest are taken.
func sample(all []*mutant, n int, seed string) []*mutant {
	if n <= 0 || n >= len(all) {
		return all
	}
	rank := func(m *mutant) []byte {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s", seed, m.key()))
		return sum[:]
	}
	chosen := slices.Clone(all)
	slices.SortStableFunc(chosen, func(a, b *mutant) int { return bytes.Compare(rank(a), rank(b)) })
	chosen = chosen[:n]
	slices.SortFunc(chosen, func(a, b *mutant) int { return a.id - b.id })
	return chosen
}
