// Package faultrun is the proof that system calls that fail do no harm: every call of every kind that a scripted program makes
// fails once, with each error. It also fills disks. It holds tests only, which need strace, or root, and
// say so where they are skipped.
package faultrun
