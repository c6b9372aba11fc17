package cli

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// lockHolder finds out which process has the lock of a file, from the kernel's list of locks; see proc_locks(5).
func lockHolder(path string) (pid int, name string, ok bool) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, "", false
	}
	st, isStat := info.Sys().(*syscall.Stat_t)
	if !isStat {
		return 0, "", false
	}
	want := fmt.Sprintf("%02x:%02x:%d", unix.Major(uint64(st.Dev)), unix.Minor(uint64(st.Dev)), st.Ino)
	f, err := os.Open("/proc/locks")
	if err != nil {
		return 0, "", false
	}
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		// 1: FLOCK  ADVISORY  WRITE 4242 fe:00:131 0 EOF
		fields := strings.Fields(lines.Text())
		if len(fields) < 6 || fields[1] != "FLOCK" || fields[5] != want {
			continue
		}
		if pid, err = strconv.Atoi(fields[4]); err != nil || pid <= 0 {
			continue
		}
		comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if err != nil {
			comm = []byte("unknown")
		}
		return pid, strings.TrimSpace(string(comm)), true
	}
	return 0, "", false
}
