package main

import (
	_ "embed"
	"errors"
	"fmt"
	"strings"
)

//go:embed equivalent.tsv
var equivalentTSV string

// equivalents returns the reasons of the mutants that are listed as equivalent, by key. The error names entries that are none of all.
func equivalents(text string, all []*mutant, inScope func(file string) bool) (map[string]string, error) {
	known := make(map[string]bool)
	for _, m := range all {
		known[m.key()] = true
	}
	reasons := make(map[string]string)
	var errs []error
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimRight(line, "\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(line, "\t")
		if len(f) != 4 || strings.TrimSpace(f[3]) == "" {
			errs = append(errs, fmt.Errorf("equivalent.tsv:%d: want file, function, mutant and reason", n))
			continue
		}
		key := strings.Join(f[:3], "\t")
		if inScope(f[0]) && !known[key] {
			errs = append(errs, fmt.Errorf("equivalent.tsv:%d: no mutant is like this any more: %s", n, strings.ReplaceAll(key, "\t", " | ")))
		}
		if reasons[key] != "" {
			errs = append(errs, fmt.Errorf("equivalent.tsv:%d: stands there twice", n))
		}
		reasons[key] = f[3]
	}
	return reasons, errors.Join(errs...)
}
