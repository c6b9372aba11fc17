// Package crashtest tests what is left of an engine's file after a power cut
// or a kill. It is for tests only; what other tests use of it is [Narrate] and [Story].
//
// A workload is made of lanes, callers each with users of its own, and of a world for each lane: a model in memory that says after each
// call what must be true. A recorder notes everything that a workload makes an engine do to its files: each write of bbolt, each
// sync, each change of a name, and when which call of the engine began and returned. From this log the disk
// can be put together as it may be after a power cut at any moment: what was synced is there, and
// of what was not any part may be there, down to single sectors of 512 bytes. Each such image is opened
// and compared with what was acknowledged by then.
//
// The order of the writes is recorded from bbolt's own hook; that the syncs between them really happen
// is compared with what strace sees, where there is one.
//
//	go test ./internal/crashtest                                   some hundred images
//	LATCHBOLT_IMAGES=100000 go test ./internal/crashtest           the size for CI; 1000000 is the long one
//	LATCHBOLT_KILLS=1000 go test -run Kill$ ./internal/crashtest   so many kills; LATCHBOLT_LONG=1 makes as many
//	go test ./internal/crashtest -run TestX -seed S -image C.I     one image again, as the failure printed it
package crashtest
