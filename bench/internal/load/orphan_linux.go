package load

import (
	"os/exec"
	"syscall"
)

// endWithUs makes the program end when this process does, however that ends.
func endWithUs(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} }
