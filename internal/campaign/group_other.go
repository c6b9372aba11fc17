//go:build !unix

package main

import "os/exec"

// together leaves it to the system what becomes of the processes that a command has started.
func together(cmd *exec.Cmd) {}
