package boltkv

import (
	"sync"
)

// The registry holds the files that this process has open. The lock of a file
// belongs to the open file and not to the process, so a second handle would
// wait for the first for as long as it lives.
var registry struct {
	sync.Mutex
	files map[fileID]string // the path each was opened by
}

// register enters a file. If it is there already, register reports false and
// the path it was opened by.
func register(id fileID, path string) (string, bool) {
	registry.Lock()
	defer registry.Unlock()
	if other, ok := registry.files[id]; ok {
		return other, false
	}
	if registry.files == nil {
		registry.files = make(map[fileID]string)
	}
	registry.files[id] = path
	return "", true
}

// unregister removes a file after its handle was closed.
func unregister(id fileID) {
	registry.Lock()
	defer registry.Unlock()
	delete(registry.files, id)
}
