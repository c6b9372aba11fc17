//go:build unix

package main

import (
	"os/exec"
	"syscall"
)

// together puts a command and all that it starts into one group of processes, which is ended as a whole: "go test" passes nothing
// on to the tests.
func together(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
}
