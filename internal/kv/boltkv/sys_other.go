//go:build !linux

package boltkv

import "errors"

// renameAbsent renames a file unless the new name exists, in one step. Only
// Linux can do that.
func renameAbsent(_, _ string) error { return errors.ErrUnsupported }
