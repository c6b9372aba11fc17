//go:build unix

package crashtest

import (
	"encoding/binary"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

const (
	pageSize = 4096
	sector   = 512 // what a disk writes whole or not at all
)

// A change is one thing that is done to the disk and that a power cut may undo
// as long as it is not synced.
type change struct {
	file int // which file; noFile for a change of names

	// A write, if data is not nil; otherwise, for a file, a change of its size.
	off  int64
	data []byte
	size int64

	// A change of names: all in one step. A file of noFile takes the name away.
	names map[string]int
}

const noFile = -1

// A disk is what is stored: files by number, and the names in the one folder.
type disk struct {
	names map[string]int
	files map[int]*file
}

// A file is a file's content; behind data there are zeros up to size.
type file struct {
	data    []byte
	size    int64
	changes int // that were made
}

func newDisk() *disk { return &disk{names: make(map[string]int), files: make(map[int]*file)} }

func (d *disk) clone() *disk {
	c := &disk{names: maps.Clone(d.names), files: make(map[int]*file)}
	for i, f := range d.files {
		c.files[i] = &file{slices.Clone(f.data), f.size, f.changes}
	}
	return c
}

// apply makes a change.
func (d *disk) apply(c *change) {
	if c.file == noFile {
		rename(d.names, c.names)
		return
	}
	f := d.files[c.file]
	if f == nil {
		f = new(file)
		d.files[c.file] = f
	}
	f.apply(c)
}

func rename(names, change map[string]int) {
	for name, i := range change {
		if i == noFile {
			delete(names, name)
		} else {
			names[name] = i
		}
	}
}

func (f *file) apply(c *change) {
	f.changes++
	if c.data == nil {
		f.size = c.size
		f.data = f.data[:min(int64(len(f.data)), c.size)]
		return
	}
	end := c.off + int64(len(c.data))
	if grow := end - int64(len(f.data)); grow > 0 {
		f.data = append(f.data, make([]byte, grow)...)
	}
	copy(f.data[c.off:], c.data)
	f.size = max(f.size, end)
}

// txid is the newest transaction that the meta pages tell of, whole or not.
func (f *file) txid() (id uint64) {
	for at := 0; at <= pageSize && at+pageSize <= len(f.data); at += pageSize {
		id = max(id, binary.NativeEndian.Uint64(f.data[at+64:]))
	}
	return id
}

// An image is a disk after a power cut: the durable part of a cut, and of what
// was pending the picked part.
type image struct {
	durable *disk
	picked  []*change
}

// names returns the names of the image and the files they lead to.
func (m *image) names() map[string]int {
	names := maps.Clone(m.durable.names)
	for _, c := range m.picked {
		if c.file == noFile {
			rename(names, c.names)
		}
	}
	return names
}

// settled tells a file with its content from all others, if none of its changes is pending.
func (m *image) settled(i int) (key settled, ok bool) {
	f := m.durable.files[i]
	if f == nil || slices.ContainsFunc(m.picked, func(c *change) bool { return c.file == i }) {
		return settled{}, false
	}
	return settled{i, f.changes}, true
}

type settled struct{ file, changes int }

// write makes an empty folder hold the image.
func (m *image) write(dir string) error {
	written := make(map[int]string)
	names := m.names()
	for _, name := range slices.Sorted(maps.Keys(names)) {
		i, path := names[name], filepath.Join(dir, name)
		if first, ok := written[i]; ok {
			if err := os.Link(first, path); err != nil {
				return err
			}
			continue
		}
		written[i] = path
		if err := m.writeFile(i, path); err != nil {
			return err
		}
	}
	return nil
}

func (m *image) writeFile(i int, path string) (err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
	}()
	var size int64
	if d := m.durable.files[i]; d != nil {
		if _, err := f.WriteAt(d.data, 0); err != nil {
			return err
		}
		size = d.size
	}
	for _, c := range m.picked {
		switch {
		case c.file != i:
		case c.data == nil:
			size = c.size
			err = f.Truncate(size)
		default:
			size = max(size, c.off+int64(len(c.data)))
			_, err = f.WriteAt(c.data, c.off)
		}
		if err != nil {
			return err
		}
	}
	return f.Truncate(size)
}
