//go:build unix

package crashtest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
)

// A cut is a moment at which the power may fail: right before a sync is done. Every
// other moment leaves the same disks as one of these, with less acknowledged.
type cut struct {
	number  int
	durable *disk
	pending []*change // in the order in which they were made
	marks   map[int]mark
}

// replay calls fn for each cut of a log that goes on from a disk on which some
// changes are pending, and for the end. The cut is valid until fn returns.
func replay(from *disk, pending []*change, events []event, fn func(*cut)) {
	c := &cut{durable: from.clone(), pending: slices.Clone(pending), marks: make(map[int]mark)}
	flush := func(done func(*change) bool) {
		rest := c.pending[:0:0]
		for _, p := range c.pending {
			if done(p) {
				c.durable.apply(p)
			} else {
				rest = append(rest, p)
			}
		}
		c.pending = rest
	}
	for _, e := range events {
		switch e.kind {
		case changed:
			c.pending = append(c.pending, e.change)
			continue
		case marked:
			c.marks[e.lane] = e.mark
			continue
		}
		of := func(p *change) bool {
			if e.kind == folderSynced {
				return p.file == noFile
			}
			return p.file == e.file
		}
		// Without something that waits for this sync the disks are those of the next cut.
		if slices.ContainsFunc(c.pending, of) {
			fn(c)
			c.number++
			flush(of)
		}
	}
	fn(c)
}

// all is the image on which nothing was lost: what a kill leaves.
func (c *cut) all() *image { return &image{c.durable, c.pending} }

// maxExhaustive is up to how many pending changes every subset is tried.
const maxExhaustive = 11

// full is how many images of a cut there are to be tried: the subsets, and then torn writes.
func (c *cut) full() int {
	n := len(c.pending)
	torn := 0
	if slices.ContainsFunc(c.pending, func(p *change) bool { return p.data != nil }) {
		torn = 1 << min(8, 3*n+5) // one page has eight sectors
	}
	return 1<<min(n, maxExhaustive) + torn
}

// image returns the image of a number below of. If of is as many as there are, each
// subset is among them exactly once; otherwise those are that are most
// likely to hurt, and then random ones.
func (c *cut) image(number, of int, rng *rand.Rand) *image {
	n := len(c.pending)
	exhaustive := n <= maxExhaustive && of >= c.full()
	switch {
	case exhaustive && number < 1<<n:
		return c.pick(func(i int) bool { return number>>i&1 != 0 })
	case exhaustive:
		return c.torn(number-1<<n, rng)
	case number == 0:
		return c.pick(func(int) bool { return false })
	case number == 1:
		return c.all()
	case number == 2: // the last one came first
		return c.pick(func(i int) bool { return i == n-1 })
	case number%3 == 0:
		return c.torn(rng.IntN(256), rng)
	case number%3 == 1: // all but one
		lost := rng.IntN(max(n, 1))
		return c.pick(func(i int) bool { return i != lost })
	default:
		return c.pick(func(int) bool { return rng.IntN(2) == 0 })
	}
}

// pick returns the image with some of the pending changes.
func (c *cut) pick(keep func(i int) bool) *image {
	m := &image{durable: c.durable}
	for i, p := range c.pending {
		if keep(i) {
			m.picked = append(m.picked, p)
		}
	}
	return m
}

// torn returns an image in which one write is torn: of its first eight sectors those are
// there that the bits of sectors say, and the others by chance, as are the other changes.
func (c *cut) torn(sectors int, rng *rand.Rand) *image {
	var writes []int
	for i, p := range c.pending {
		if p.data != nil {
			writes = append(writes, i)
		}
	}
	if len(writes) == 0 {
		return c.pick(func(int) bool { return rng.IntN(2) == 0 })
	}
	victim := writes[rng.IntN(len(writes))]
	m := &image{durable: c.durable}
	for i, p := range c.pending {
		switch {
		case i != victim && rng.IntN(3) > 0:
			m.picked = append(m.picked, p)
		case i == victim:
			for at := 0; at < len(p.data); at += sector {
				bit := at / sector
				if bit < 8 && sectors>>bit&1 != 0 || bit >= 8 && rng.IntN(2) == 0 {
					part := p.data[at:min(at+sector, len(p.data))]
					m.picked = append(m.picked, &change{file: p.file, off: p.off + int64(at), data: part})
				}
			}
		}
	}
	return m
}

// share spreads a number of images over cuts: none gets more than there are of it, and
// otherwise all get the same. If there are not even two for each, every so many-th cut gets them.
func share(full []int, total int, seed uint64) []int {
	counts := make([]int, len(full))
	if need := sum(full, 2); need > total {
		step := (need + total - 1) / total
		for i := int(seed % uint64(step)); i < len(full); i += step {
			counts[i] = min(full[i], 2) // nothing there, and everything
		}
		return counts
	}
	limit := 2
	for step := 1 << 20; step > 0; step /= 2 {
		if sum(full, limit+step) <= total {
			limit += step
		}
	}
	for i, n := range full {
		counts[i] = min(n, limit)
	}
	return counts
}

func sum(full []int, limit int) (total int) {
	for _, n := range full {
		total += min(n, limit)
	}
	return total
}

func (c *cut) String() string {
	lanes := ""
	for _, lane := range slices.Sorted(maps.Keys(c.marks)) {
		lanes += fmt.Sprintf("; %v", c.marks[lane])
	}
	return fmt.Sprintf("cut %d, %d changes pending%s", c.number, len(c.pending), lanes)
}
