package boltkv

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"

	"github.com/latchbolt-go/latchbolt/internal/kv"
)

// What bbolt writes into the first two pages of a file. All integers are in
// the byte order of the machine that wrote the file.
const (
	boltMagic    = 0xED0CDAED
	boltVersion  = 2
	pageHeader   = 16 // bytes: id 8, flags 2, count 2, overflow 4
	metaLen      = 64 // bytes of the record after the page header
	metaSummed   = 56 // bytes of it that the checksum covers
	metaFlag     = 0x04
	noFreelist   = ^uint64(0)
	minPageSize  = 1 << 10
	maxPageSize  = 1 << 16
	maxFilePages = 1 << 24 // 64 GiB of 4 KiB pages; a scan's memory grows with it
)

var order = binary.NativeEndian

// A meta is the root of one state of the file.
type meta struct {
	pageSize int
	root     uint64 // page of the root bucket
	freelist uint64 // page of the freelist, or noFreelist
	pages    uint64 // high-water mark: pages from here on are not in use
	txid     uint64
}

// synced reports whether the file holds its freelist, so that opening it
// needs no scan.
func (m meta) synced() bool { return m.freelist != noFreelist }

// parseMeta reads the meta page that starts at b.
func parseMeta(b []byte) (meta, error) {
	if len(b) < pageHeader+metaLen {
		return meta{}, errors.New("page is cut short")
	}
	r := b[pageHeader : pageHeader+metaLen]
	if got := order.Uint32(r); got != boltMagic {
		return meta{}, fmt.Errorf("not a bbolt file (magic %#08x)", got)
	}
	if got := order.Uint32(r[4:]); got != boltVersion {
		return meta{}, fmt.Errorf("bbolt format %d is not %d", got, boltVersion)
	}
	sum := fnv.New64a()
	_, _ = sum.Write(r[:metaSummed]) // a hash never fails
	if sum.Sum64() != order.Uint64(r[metaSummed:]) {
		return meta{}, errors.New("checksum does not match")
	}
	m := meta{
		pageSize: int(order.Uint32(r[8:])),
		root:     order.Uint64(r[16:]),
		freelist: order.Uint64(r[32:]),
		pages:    order.Uint64(r[40:]),
		txid:     order.Uint64(r[48:]),
	}
	return m, m.check()
}

// check tells whether the numbers can be true of any file.
func (m meta) check() error {
	switch {
	case m.pageSize < minPageSize || m.pageSize > maxPageSize || m.pageSize&(m.pageSize-1) != 0:
		return fmt.Errorf("page size %d", m.pageSize)
	case m.pages < 3 || m.pages > maxFilePages:
		return fmt.Errorf("%d pages", m.pages)
	case m.root < 2 || m.root >= m.pages:
		return fmt.Errorf("root page %d of %d", m.root, m.pages)
	case m.synced() && (m.freelist < 2 || m.freelist >= m.pages):
		return fmt.Errorf("freelist page %d of %d", m.freelist, m.pages)
	}
	return nil
}

// readMetas reads both meta pages of the file. An error of a page stands in
// errs; err is set if the file could not be read at all.
func readMetas(r io.ReaderAt, size int64) (metas [2]meta, errs [2]error, err error) {
	var buf [pageHeader + metaLen]byte
	pageSize := 0
	for i := range metas {
		// If the first page is unreadable, its size is not known: bbolt then
		// tries every power of two for the second one, and so do we.
		sizes := []int{pageSize}
		if i == 1 && pageSize == 0 {
			sizes = sizes[:0]
			for s := minPageSize; s <= maxPageSize; s *= 2 {
				sizes = append(sizes, s)
			}
		}
		for _, s := range sizes {
			off := int64(i * s)
			if off+int64(len(buf)) > size {
				errs[i] = errors.New("page is cut short")
				break
			}
			if _, err := r.ReadAt(buf[:], off); err != nil {
				return metas, errs, err
			}
			metas[i], errs[i] = parseMeta(buf[:])
			if errs[i] == nil && i == 1 && metas[i].pageSize != s {
				errs[i] = fmt.Errorf("page size %d found at %d", metas[i].pageSize, off)
			}
			if errs[i] == nil {
				break
			}
		}
		if errs[0] == nil {
			pageSize = metas[0].pageSize
		}
	}
	return metas, errs, nil
}

// sniff decides whether the file can be one of ours before bbolt sees it and
// returns the meta that bbolt will use. Errors wrap [kv.ErrCorrupt], or are
// those of reading.
func sniff(r io.ReaderAt, size int64) (meta, error) {
	if size == 0 {
		return meta{}, kv.ErrEmpty
	}
	metas, errs, err := readMetas(r, size)
	if err != nil {
		return meta{}, err
	}
	newest := newestMeta(metas, errs)
	if newest < 0 {
		return meta{}, fmt.Errorf("%w: first page: %w; second page: %w", kv.ErrCorrupt, errs[0], errs[1])
	}
	m := metas[newest]
	// bbolt looks at a bad page's transaction ID before its checksum, and it
	// maps both pages: neither may be beyond the end.
	if need := int64(m.pages) * int64(m.pageSize); need > size {
		return meta{}, fmt.Errorf("%w: cut short: %d bytes of at least %d", kv.ErrCorrupt, size, need)
	}
	if errs[1-newest] != nil {
		if err := supersedes(r, 1-newest, m); err != nil {
			return meta{}, fmt.Errorf("%w: %w", kv.ErrCorrupt, err)
		}
	}
	return m, nil
}

// newestMeta returns which of the good ones is the newer, or -1.
func newestMeta(metas [2]meta, errs [2]error) int {
	newest := -1
	for i := range metas {
		if errs[i] == nil && (newest < 0 || metas[i].txid > metas[newest].txid) {
			newest = i
		}
	}
	return newest
}

// supersedes returns an error if meta page i, which is damaged, may have been the root of a newer state than m. bbolt would go
// on with m all the same, and what was acknowledged last, such as that a session ended, would silently
// be undone. No crash does that: the record lies within one sector, so it is the old one or the new one.
func supersedes(r io.ReaderAt, i int, m meta) error {
	var buf [pageHeader + metaLen]byte
	if _, err := r.ReadAt(buf[:], int64(i*m.pageSize)); err != nil {
		return fmt.Errorf("page %d cannot be read, and the last change may have stood there: %w", i, err)
	}
	rec := buf[pageHeader:]
	mend(rec)
	txid, root := order.Uint64(rec[48:]), order.Uint64(rec[16:])
	// A commit that changes anything has another root than the one before: one with the same root only
	// stored the list of free pages.
	if txid == m.txid-1 || txid == m.txid+1 && root == m.root {
		return nil
	}
	return fmt.Errorf("page %d is damaged, and the last change may have stood there", i)
}

// mend puts a meta record right in which a single bit is wrong, and leaves others as they are.
func mend(rec []byte) {
	for bit := range len(rec) * 8 {
		rec[bit/8] ^= 1 << (bit % 8)
		sum := fnv.New64a()
		_, _ = sum.Write(rec[:metaSummed])
		if sum.Sum64() == order.Uint64(rec[metaSummed:]) {
			return
		}
		rec[bit/8] ^= 1 << (bit % 8)
	}
}
