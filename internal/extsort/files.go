package extsort

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// A file is a temporary file that is written from its beginning to its end, and read afterwards.
type file struct {
	f    *os.File
	w    *bufio.Writer
	size int64
}

// fileBuffer is how much is read or written at once.
const fileBuffer = 64 << 10

// pattern is what the names of temporary files are like while they have one.
const pattern = ".latchbolt-sort-*"

// Sweep removes from the folder dir what processes left there that were killed after they had made a temporary file and
// before they had taken its name away. The files of those that are at work lose nothing but that name. On Windows, where files in use
// keep theirs, nothing is removed.
func Sweep(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	left, err := filepath.Glob(filepath.Join(escapeGlob(dir), pattern))
	for _, name := range left {
		if e := os.Remove(name); !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	if err != nil {
		return fmt.Errorf("extsort: %w", err)
	}
	return nil
}

// escapeGlob returns the pattern that matches s and nothing else.
func escapeGlob(s string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(s)
}

// newFile makes a file that has no name, where the system allows that.
func newFile(dir string) (*file, error) {
	f, err := os.CreateTemp(dir, pattern)
	if err != nil {
		return nil, fmt.Errorf("extsort: %w", err)
	}
	if runtime.GOOS != "windows" {
		if err := os.Remove(f.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) { // another's Sweep may have been first
			_ = f.Close()
			return nil, fmt.Errorf("extsort: %w", err)
		}
	}
	return &file{f: f, w: bufio.NewWriterSize(f, fileBuffer)}, nil
}

// add appends an entry.
func (f *file) add(key, value []byte) error {
	var head [8]byte
	binary.BigEndian.PutUint32(head[:], uint32(len(key)))
	binary.BigEndian.PutUint32(head[4:], uint32(len(value)))
	f.size += int64(len(head) + len(key) + len(value))
	_, _ = f.w.Write(head[:]) // the last one reports every error
	_, _ = f.w.Write(key)
	if _, err := f.w.Write(value); err != nil {
		return fmt.Errorf("extsort: %w", err)
	}
	return nil
}

func (f *file) flush() error {
	if err := f.w.Flush(); err != nil {
		return fmt.Errorf("extsort: %w", err)
	}
	return nil
}

// entries reads the entries between two offsets.
func (f *file) entries(from, to int64) func() (Entry, error) {
	r := bufio.NewReaderSize(io.NewSectionReader(f.f, from, to-from), fileBuffer)
	var buf []byte
	return func() (Entry, error) {
		var head [8]byte
		if _, err := io.ReadFull(r, head[:]); err == io.EOF {
			return Entry{}, errEnd
		} else if err != nil {
			return Entry{}, fmt.Errorf("extsort: %w", err)
		}
		k, v := int(binary.BigEndian.Uint32(head[:])), int(binary.BigEndian.Uint32(head[4:]))
		if cap(buf) < k+v {
			buf = make([]byte, 2*(k+v))
		}
		b := buf[:k+v]
		if _, err := io.ReadFull(r, b); err != nil {
			return Entry{}, fmt.Errorf("extsort: %w", err)
		}
		return Entry{b[:k:k], b[k:]}, nil
	}
}

func (f *file) close() {
	_ = f.f.Close() // nobody needs what is in it any more
	if runtime.GOOS == "windows" {
		_ = os.Remove(f.f.Name())
	}
}

// A run is a chunk in a file, one class after another.
type run struct {
	*file
	from [257]int64 // where each class begins, and the end
}

// newRun writes what all gives of each class.
func newRun(dir string, all func(class byte) func() (Entry, error)) (*run, error) {
	f, err := newFile(dir)
	if err != nil {
		return nil, err
	}
	r := &run{file: f}
	for n := range 256 {
		r.from[n] = f.size
		next := all(byte(n))
		for {
			e, err := next()
			if err == errEnd {
				break
			}
			if err == nil {
				err = f.add(e.Key, e.Value)
			}
			if err != nil {
				f.close()
				return nil, err
			}
		}
	}
	r.from[256] = f.size
	if err := f.flush(); err != nil {
		f.close()
		return nil, err
	}
	f.w = nil // it is only read from here on
	return r, nil
}

// sources returns a class of each run, but for those that have none of it.
func sources(runs []*run, class byte) (all []func() (Entry, error)) {
	for _, r := range runs {
		if from, to := r.from[class], r.from[int(class)+1]; from < to {
			all = append(all, r.entries(from, to))
		}
	}
	return all
}

// A List keeps entries in the order in which they were added. Use [NewList] to make one. Its methods must not be called
// concurrently.
type List struct {
	dir string
	f   *file
}

// NewList returns an empty List whose entries are in the folder dir; see [New].
func NewList(dir string) *List { return &List{dir: dir} }

// Add adds an entry at the end.
func (l *List) Add(key, value []byte) error {
	if l.f == nil {
		f, err := newFile(l.dir)
		if err != nil {
			return err
		}
		l.f = f
	}
	return l.f.add(key, value)
}

// All yields the entries. It may be called again, but nothing may be added meanwhile.
func (l *List) All() iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		if l.f == nil {
			return
		}
		if err := l.f.flush(); err != nil {
			yield(Entry{}, err)
			return
		}
		next := l.f.entries(0, l.f.size)
		for {
			e, err := next()
			if err == errEnd || !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// Close gives up the file.
func (l *List) Close() {
	if l.f != nil {
		l.f.close()
	}
}
