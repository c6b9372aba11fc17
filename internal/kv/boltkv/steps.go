package boltkv

import "os"

// A Step is one thing done to a file or to a name that decides what is there
// after a power cut. What bbolt writes into an open file is no Step.
type Step struct {
	Op   Op
	Path string // of the file; for FolderSynced, of the folder
	To   string // the new name, for Linked and Renamed
	DB   any    // for Opened: the *bbolt.DB
}

// An Op is what a Step did.
type Op uint8

const (
	Created      Op = iota + 1 // an empty file under a new name
	Opened                     // by bbolt, which may write to it from now on
	Committed                  // by bbolt: all its writes are durable
	Synced                     // the content of the file
	Linked                     // a second name
	Renamed                    // in place of whatever had the new name
	Removed                    // the name
	FolderSynced               // all names in the folder
)

// Observe, if it is not nil, is told of every Step when it was done, in the
// goroutine that did it. It is for tests of power cuts, which set it before the first
// store is opened. It must not call a store.
var Observe func(Step)

func step(op Op, path, to string) {
	if Observe != nil {
		Observe(Step{Op: op, Path: path, To: to})
	}
}

// remove takes a file's name away.
func remove(path string) error {
	err := os.Remove(path)
	if err == nil {
		step(Removed, path, "")
	}
	return err
}

// rename gives a file the name to, whoever had it.
func rename(from, to string) error {
	err := os.Rename(from, to)
	if err == nil {
		step(Renamed, from, to)
	}
	return err
}

// syncFolder makes what was done to the names in a folder durable.
func syncFolder(dir string) error {
	err := syncDir(dir)
	if err == nil {
		step(FolderSynced, dir, "")
	}
	return err
}
