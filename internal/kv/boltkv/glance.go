package boltkv

import (
	"context"
	"io"
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"
)

// A glance makes a walk quick that only has to find out whether all is well. A file has a hundred leaves for each page above them, in
// any order, and of a leaf only the header is wanted: to read that costs a system call, whereas a quarter of a MiB of the
// file in one piece, with the headers of 64 pages, costs twelve. So the walker goes through the pages above the
// leaves and notes which pages have to be leaves, each once; then the leaves are looked at in the order of the file, on
// two processors.
//
// Where leaves begin is known from the first way down in each bucket: bbolt's trees are equally deep everywhere. A file in which that is not so, and one in which
// anything else is wrong, is walked again in the ordinary way, whose answer counts. So a glance
// finds what the walk finds, and need not say what.
type glance struct {
	leaves bitmap // pages that must be leaves
	depth  int    // of the leaves of the present bucket; 0 is not known
}

// atAGlance reports whether the state m of the file r is provably sound, as far as a walk that is not
// deep looks, and how many pages are in use.
func atAGlance(ctx context.Context, r io.ReaderAt, m meta) (used uint64, sound bool) {
	w := newWalker(ctx, r, m, false, func(error) bool { return false })
	w.later = &glance{leaves: newBitmap(m)}
	w.all()
	if w.stopped || w.err != nil {
		return 0, false
	}
	following, ok := w.later.look(ctx, r, m)
	for _, p := range following {
		ok = ok && w.mark(p.id+1, p.overflow)
	}
	return w.count, ok
}

// postpones notes a page that has to be a leaf, if it is one, and reports whether that is all that has to be done about
// it now.
func (g *glance) postpones(w *walker, id uint64, root bool, depth int) bool {
	if root || depth != g.depth || id < 2 {
		return false
	}
	return w.mark(id, 1) && g.leaves.add(id)
}

// look looks at all leaves that were noted. It returns those with pages following them, and false unless all are
// leaves with room for their elements.
func (g *glance) look(ctx context.Context, r io.ReaderAt, m meta) (following []page, ok bool) {
	var next atomic.Int64
	var bad atomic.Bool
	var mu sync.Mutex // guards following
	var wg sync.WaitGroup
	for range min(2, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			piece := make([]byte, 64*m.pageSize)
			var long []page
			for !bad.Load() {
				at := int(next.Add(1)) - 1
				if at >= len(g.leaves) {
					break
				}
				if ctx.Err() != nil || !g.piece(r, m, at, piece, &long) {
					bad.Store(true)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			following = append(following, long...)
		})
	}
	wg.Wait()
	return following, !bad.Load()
}

// piece looks at the leaves among the 64 pages of word at of the bitmap. Those with pages following are added to long.
func (g *glance) piece(r io.ReaderAt, m meta, at int, buf []byte, long *[]page) bool {
	word := g.leaves[at]
	if word == 0 {
		return true
	}
	first, last := bits.TrailingZeros64(word), 63-bits.LeadingZeros64(word)
	from := uint64(at)*64 + uint64(first)
	buf = buf[:(last-first)*m.pageSize+pageHeader]
	if _, err := r.ReadAt(buf, int64(from)*int64(m.pageSize)); err != nil {
		return false
	}
	for word >>= first; word != 0; word &= word - 1 {
		n := bits.TrailingZeros64(word)
		p := parseHead(buf[n*m.pageSize:][:pageHeader])
		if p.id != from+uint64(n) || p.flags != leafFlag || !p.holds(m.pageSize) {
			return false
		}
		if p.overflow > 0 {
			p.data = nil
			*long = append(*long, p)
		}
	}
	return true
}
