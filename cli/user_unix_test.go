//go:build unix

package cli_test

import (
	"os/exec"
	"syscall"
)

// asUser has a command run as another user.
func asUser(cmd *exec.Cmd, uid uint32) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
}
