//go:build unix && !linux && !darwin && !freebsd

package boltkv

func statfsFree(int) (uint64, bool) { return 0, false }
