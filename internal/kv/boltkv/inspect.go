package boltkv

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/latchbolt-go/latchbolt/internal/kv"
)

// Inspect looks at the file at path, which nobody may have open for writing: report is told of each defect of its structure, until it
// returns false, and if there is none, fn is called with the store, which can only be read. No byte of the file is
// changed, nor its times and rights, nor anything beside it. Whose it is, how many links
// it has and whether the path is a symbolic link makes no difference.
//
// The error is [kv.ErrLocked] if somebody has the file open, and [kv.ErrCorrupt] if it is not, or no
// longer, so much of a store that its pages could be followed, or o.Check's.
func Inspect(ctx context.Context, path string, o *Options, report func(error) bool, fn func(*Store) error) error {
	f, err := openSource(path)
	if err != nil {
		return err
	}
	handed := false // bbolt closes the file
	defer func() {
		if !handed {
			_ = f.Close()
		}
	}()
	if err := lock(f.File, true, o.LockTimeout); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	m, err := sniff(f, f.info.Size())
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	sound := true
	if _, err := walk(ctx, f, m, true, func(defect error) bool {
		sound = false
		return report(defect)
	}); err != nil || !sound {
		return err
	}
	opt := *o
	opt.ReadOnly = true
	s, err := newStore(path, &opt)
	if err != nil {
		return err
	}
	handed = true
	if err := s.attach(f.File, true); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	defer func() { _ = s.shut() }() // nothing was written
	s.durable.Store(uint64(boltRev(s.db)))
	if err := s.checkContent(); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return fn(s)
}

// openSource opens a file that is only looked at.
func openSource(path string) (_ opened, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return opened{}, err
	}
	if !info.Mode().IsRegular() { // opening a pipe would wait
		return opened{}, fmt.Errorf("%w: %s is not a regular file (%v)", kv.ErrInsecure, path, info.Mode().Type())
	}
	f, err := os.Open(path)
	if err != nil {
		return opened{}, err
	}
	if info, err = f.Stat(); err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%w: %s is not a regular file (%v)", kv.ErrInsecure, path, info.Mode().Type())
	}
	if err != nil {
		_ = f.Close()
		return opened{}, err
	}
	return opened{f, info}, nil
}

// lookup finds a value in the state m of a file without bbolt, so that it can be
// tried on files that are damaged. It returns nil if there is none.
func lookup(ctx context.Context, r *os.File, m meta, bucket kv.Bucket, key []byte) (value []byte, err error) {
	var defect error
	w := newWalker(ctx, r, m, true, func(err error) bool {
		defect = err
		return false
	})
	value = w.find(m.root, []byte(bucket))
	switch {
	case len(value) < bucketLen:
		value = nil
	case order.Uint64(value) != 0:
		value = w.find(order.Uint64(value), key)
	case len(value) >= bucketLen+pageHeader:
		in := value[bucketLen:]
		_, value = w.within(page{flags: order.Uint16(in[8:]), count: int(order.Uint16(in[10:])), data: in}, key)
	}
	return value, errors.Join(w.err, defect)
}

// find returns the value of a key in the tree below page id, or nil. It is valid until the next page is read.
func (w *walker) find(id uint64, key []byte) []byte {
	for depth := range maxDepth {
		p, ok := w.read(id, depth, func(uint16) bool { return true })
		if !ok {
			return nil
		}
		child, value := w.within(p, key)
		if child == 0 {
			return value
		}
		id = child
	}
	return nil
}

// within looks a key up in one page: it returns the value, or the page below where it would be.
func (w *walker) within(p page, key []byte) (child uint64, value []byte) {
	for i := range p.count {
		at := pageHeader + i*elementLen
		if at+elementLen > len(p.data) {
			w.defect("page %d has no room for %d elements", p.id, p.count)
			return 0, nil
		}
		e := p.data[at:]
		pos, n := uint64(order.Uint32(e)), uint64(order.Uint32(e[4:]))
		if p.flags == leafFlag {
			pos, n = n, uint64(order.Uint32(e[8:]))
		}
		k, ok := w.bytes(p, i, at, pos, n)
		if !ok {
			return 0, nil
		}
		switch start := uint64(at) + pos + n; {
		case p.flags == branchFlag && (i == 0 || string(k) <= string(key)):
			child = order.Uint64(e[8:])
		case p.flags == leafFlag && string(k) == string(key):
			if end := start + uint64(order.Uint32(e[12:])); end <= uint64(len(p.data)) {
				return 0, p.data[start:end]
			}
			w.defect("value %d of page %d is out of bounds", i, p.id)
			return 0, nil
		}
	}
	return child, nil
}

// absent reports whether err says that there is no file.
func absent(err error) bool { return errors.Is(err, fs.ErrNotExist) }
