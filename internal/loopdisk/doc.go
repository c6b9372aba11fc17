// Package loopdisk makes small disks for tests: files that are mounted, of which the power can be cut. It needs Linux and root, and the
// tests that use it say so where they are skipped.
package loopdisk
