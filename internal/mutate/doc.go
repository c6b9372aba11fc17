// Command mutate asks whether the tests would notice a defect: it makes thousands of small ones, one at a time, in the
// files that security rests on, and counts how many make a test fail.
//
//	go run ./internal/mutate                        # everything: hours
//	go run ./internal/mutate -each 25 -seed 1       # 25 mutants of each file
//	go run ./internal/mutate -n 60 -seed 1          # 60 of all files; what CI does
//	go run ./internal/mutate -files token.go -list  # what there is
//
// It fails if fewer than nine in ten of the mutants are noticed. Each one that is not is shown.
//
// No file of the tree is changed, and all mutants are compiled at once: each stands in the program as a question whether it
// is the one whose number is in an environment variable (see weave.go). So a test binary is built once for each package of tests, and run
// once for each mutant, with the tests that are known to reach the place (see run.go), the quickest first.
//
// A mutant that cannot be noticed, because the program does the same with it, is listed with the reason in equivalent.tsv.
// It is named there by its function and its text, not by a line. An entry that names nothing any more is an error.
package main
