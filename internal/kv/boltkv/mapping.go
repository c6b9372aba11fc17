package boltkv

import "runtime"

// bbolt makes its map of the file anew, and larger, in the commit that needs it. It waits for all its readers to end before, and who begins to
// read meanwhile waits for that. A View inside a View would be among those, while the outer one cannot end without it: the two would wait for each
// other, and everybody for them. So a commit that may outgrow the map takes the gate: then all Views have ended, with those inside
// them, which need no gate and are held up by nobody, and the next ones have not begun.

// leastMap is how much address space is reserved at least. Only tests change it.
var leastMap int64 = 1 << 30

// initialMap returns how much address space to reserve. While the file fits
// into it, a writer never waits for readers in order to map more. Where
// address space is scarce, or the file is made as long as its map, none is.
func initialMap(fileSize int64) int {
	if runtime.GOOS == "windows" || ^uint(0)>>32 == 0 {
		return 0
	}
	return int(max(leastMap, 2*fileSize))
}

// mapSize is how much bbolt maps for so many bytes: a power of two from 32 KiB up to a GiB, and whole GiB beyond.
func mapSize(n int64) int64 {
	const least, step = 32 << 10, 1 << 30
	if n > step {
		return (n + step - 1) / step * step
	}
	size := int64(least)
	for size < n {
		size *= 2
	}
	return size
}

// What a commit adds to a file at most, other than what it stores: for each key that is put or deleted, the pages on the way to it, and some more.
const (
	pagesPerKey = 16
	sparePages  = 64
)

// outgrows reports whether the commit of a group may need a larger map. It says so too early rather than too late. The caller holds the baton.
func (s *Store) outgrows(g *group) bool {
	size := g.tx.Size()
	s.mapped = max(s.mapped, mapSize(size)) // it was made larger since
	keys, page := int64(g.keys), int64(s.pageSize)
	// No more is written anew than there is, and pages are half full at least.
	more := min(keys*pagesPerKey*page, 2*size) + 3*(int64(g.bytes)+keys*elementLen) + sparePages*page
	return size+more >= s.mapped
}

// commitGroup commits the transaction of a group; see commitBolt. The caller holds the baton.
func (s *Store) commitGroup(g *group) error {
	if s.outgrows(g) {
		s.gate.Lock()
		defer s.gate.Unlock()
	}
	return s.commitBolt(g.tx)
}
