// Package powercut cuts the power of real file systems. It has nothing but tests, which need Linux, root and loop devices, and
// say where they are skipped.
//
// A program works on an engine on a small disk, ext4 or xfs, and tells through a pipe which of its calls returned. At a
// moment chosen by chance the file system is shut down by the ioctl that its own tests use, without its log
// being written out: what was not synced is lost as if the power had failed. Then the disk is mounted again, and the
// file must hold what was acknowledged, by the model of internal/crashtest.
//
//	go test ./internal/powercut                       some cuts
//	LATCHBOLT_CUTS=200 go test -v ./internal/powercut  so many, over all kinds of disks; LATCHBOLT_CI=1 makes 200, LATCHBOLT_LONG=1 5,000
package powercut
