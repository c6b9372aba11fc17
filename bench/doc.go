// Package bench has no code but benchmarks: the same tasks done with latchbolt and with what people would use in its place. What the
// others need stays in this module.
//
//	go test -bench .
package bench
