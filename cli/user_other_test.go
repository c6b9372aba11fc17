//go:build !unix

package cli_test

import "os/exec"

// asUser is not reached: the tests that need it skip where nobody is root.
func asUser(*exec.Cmd, uint32) { panic("no other users here") }
