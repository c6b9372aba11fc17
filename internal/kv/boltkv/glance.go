package boltkv

import (
	"bytes"
	"context"
	"io"
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"
)

// A glance makes a walk quick that only has to find out whether all is well. A file has a hundred leaves for each page above them, in
// any order, and of a leaf only the header is wanted: to read that costs a system call, whereas half a MiB of the
// file in one piece, with the headers of 128 pages, costs twenty. So the walkers go through the pages above the
// leaves and note which pages have to be leaves, each once; then the leaves are looked at in the order of the file. Both
// is done on two processors.
//
// Where leaves begin is known from the first way down in each bucket: bbolt's trees are equally deep everywhere. A file in which that is not so, and one in which
// anything else is wrong, is walked again in the ordinary way, whose answer counts. So a glance
// finds what the walk finds, and need not say what.
//
// To map the file and read the headers from the map, instead of having the kernel copy all of it, was tried and is not quicker: of
// each page, to enter it into the map, to miss it in the processor's own table of pages, and to take it out again cost together what copying it costs, and several
// times as much on a virtual machine whose host keeps such tables on its own.
type glance struct {
	leaves bitmap // pages that must be leaves
	depth  int    // of the leaves of the present bucket; 0 is not known
	// below takes the parts of the trees that are walked by others. If it is nil, there are no others.
	below *[]subtree
}

// A subtree is a part of a bucket's tree, of which a glance knows how deep the leaves are.
type subtree struct {
	id            uint64
	depth, leaves int // of its page, and of its leaves
	low, high     []byte
}

// atAGlance reports whether the state m of the file r is provably sound, as far as a walk that is not
// deep looks, and how many pages are in use.
func atAGlance(ctx context.Context, r io.ReaderAt, m meta) (used uint64, sound bool) {
	var below []subtree
	w := newGlancer(ctx, r, m, &below)
	w.all()
	if w.stopped || w.err != nil || !w.walkBelow(below) {
		return 0, false
	}
	following, ok := w.later.look(ctx, r, m)
	for _, p := range following {
		ok = ok && w.mark(p.id+1, p.overflow)
	}
	return w.count, ok
}

// newGlancer returns a walker for the pages above the leaves, which stops at the first defect.
func newGlancer(ctx context.Context, r io.ReaderAt, m meta, below *[]subtree) *walker {
	w := newWalker(ctx, r, m, false, func(error) bool { return false })
	w.later = &glance{leaves: newBitmap(m), below: below}
	return w
}

// onTwo calls fn on two goroutines, or on one where there is only one processor, and waits for them.
func onTwo(fn func()) {
	var wg sync.WaitGroup
	for range min(2, runtime.GOMAXPROCS(0)) {
		wg.Go(fn)
	}
	wg.Wait()
}

// postpones notes a page that has to be a leaf, if it is one, and reports whether that is all that has to be done about
// it now.
func (g *glance) postpones(w *walker, id uint64, root bool, depth int) bool {
	if root || depth != g.depth || id < 2 {
		return false
	}
	return w.mark(id, 1) && g.leaves.add(id)
}

// leavesTo puts the tree below page id aside for others, if there are any and it is known how deep its leaves are.
func (g *glance) leavesTo(id uint64, root bool, depth int, low, high []byte) bool {
	if root || g.below == nil || g.depth == 0 {
		return false
	}
	*g.below = append(*g.below, subtree{id: id, depth: depth, leaves: g.depth, low: bytes.Clone(low), high: bytes.Clone(high)})
	return true
}

// walkBelow walks the parts of the trees that were put aside, and takes over what was found there. Each of those who walk has notes of
// its own; a page that stands in the notes of two is in use twice.
func (w *walker) walkBelow(below []subtree) bool {
	var next atomic.Int64
	var mu sync.Mutex // guards w and ok
	ok := true
	onTwo(func() {
		v := newGlancer(w.ctx, w.r, w.m, nil)
		for !v.stopped {
			at := int(next.Add(1)) - 1
			if at >= len(below) {
				break
			}
			t := &below[at]
			v.later.depth = t.leaves
			v.tree(t.id, false, t.depth, t.low, t.high)
		}
		mu.Lock()
		defer mu.Unlock()
		ok = ok && !v.stopped && v.err == nil && w.seen.join(v.seen) && w.later.leaves.join(v.later.leaves)
		w.count += v.count
	})
	return ok
}

// join adds the pages of another set as large, and reports false if one of them was there already.
func (b bitmap) join(other bitmap) bool {
	apart := true
	for i, word := range other {
		apart = apart && b[i]&word == 0
		b[i] |= word
	}
	return apart
}

// glancePiece is how much is read in one piece, in bytes, of a file with small pages.
const glancePiece = 512 << 10

// look looks at all leaves that were noted. It returns those with pages following them, and false unless all are
// leaves with room for their elements.
func (g *glance) look(ctx context.Context, r io.ReaderAt, m meta) (following []page, ok bool) {
	var next atomic.Int64
	var bad atomic.Bool
	var mu sync.Mutex // guards following
	words := max(1, glancePiece/(64*m.pageSize))
	onTwo(func() {
		var buf []byte // made when the first piece is read
		var long []page
		for !bad.Load() {
			from := (int(next.Add(1)) - 1) * words
			if from >= len(g.leaves) {
				break
			}
			if ctx.Err() != nil || !g.piece(r, m, from, min(from+words, len(g.leaves)), &buf, &long) {
				bad.Store(true)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		following = append(following, long...)
	})
	return following, !bad.Load()
}

// piece looks at the leaves among the pages of the words from at to end of the bitmap. Those with pages following are
// added to long. What lies between two leaves is read with them unless it is as long as a word.
func (g *glance) piece(r io.ReaderAt, m meta, at, end int, buf *[]byte, long *[]page) bool {
	for ; at < end; at++ {
		last := at
		for last < end && g.leaves[last] != 0 {
			last++
		}
		if last == at {
			continue
		}
		from := uint64(at)*64 + uint64(bits.TrailingZeros64(g.leaves[at]))
		to := uint64(last)*64 - 1 - uint64(bits.LeadingZeros64(g.leaves[last-1]))
		size := int(to-from)*m.pageSize + pageHeader
		if size > len(*buf) {
			*buf = make([]byte, max(size, min(glancePiece, int(m.pages)*m.pageSize)))
		}
		part := (*buf)[:size]
		if _, err := r.ReadAt(part, int64(from)*int64(m.pageSize)); err != nil {
			return false
		}
		for ; at < last; at++ {
			if !g.word(m, at, part, from, long) {
				return false
			}
		}
	}
	return true
}

// word looks at the leaves of one word of the bitmap, in a part of the file that begins with the page from.
func (g *glance) word(m meta, at int, part []byte, from uint64, long *[]page) bool {
	for word := g.leaves[at]; word != 0; word &= word - 1 {
		id := uint64(at)*64 + uint64(bits.TrailingZeros64(word))
		p := parseHead(part[int(id-from)*m.pageSize:][:pageHeader])
		if p.id != id || p.flags != leafFlag || !p.holds(m.pageSize) {
			return false
		}
		if p.overflow > 0 {
			p.data = nil
			*long = append(*long, p)
		}
	}
	return true
}
