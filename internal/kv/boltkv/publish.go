package boltkv

import (
	"crypto/rand"
	"path/filepath"
)

// TempName returns a name, in the folder of path, for a file that is to be [Publish]ed as path. If the machine stops before that, whoever
// opens path next removes it.
func TempName(path string) string {
	return filepath.Join(filepath.Dir(path), tempPrefix(path)+rand.Text()+tempSuffix)
}

// Publish gives the file temp, which must be whole, synced and closed, its name in one durable
// step, for those who make a file in more than one transaction. An error that is [fs.ErrExist]
// says that there is something at path, which is left as it is; temp then stays too, unless whoever was faster
// has opened path and taken temp for left over.
func Publish(temp, path string) error { return overtaken(publish(temp, path, false), path) }

// Replace is [Publish] for a path at which something may be. Until it returns, either file is there.
func Replace(temp, path string) error { return publish(temp, path, true) }
