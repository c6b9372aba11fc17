// Package bench has no code but benchmarks: the same tasks done with latchbolt and with what people would use in its place, side by side. What the
// others need stays in this module.
//
//	go test -bench .             # the figures
//	go run ./report              # all of them and those of the root module, several times; writes docs/BENCHMARKS.md
//	go run ./load                # the example program under load
//
// What has to hold stands in targets.tsv. Sizes of a million and more need LATCHBOLT_GROWTH=1, and Django's benchmarks need Django, such as Debian's
// python3-django; without it they are skipped and say so.
package bench
