package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"
)

// The README has a short table of the engine's own figures between two lines that nobody sees.
const (
	readmeBegin = "<!-- figures: cd bench && go run ./report -->\n"
	readmeEnd   = "<!-- end of figures -->\n"
)

// A readmeRow sums up some benchmarks of the root module.
type readmeRow struct {
	what, limit string
	benches     []string
	per         float64 // how many are in a call; 0: one
	free        bool    // it says that nothing is allocated, if that is so
}

var readmeRows = []readmeRow{
	{what: "`SessionUser`, warm, 1,000 sessions", limit: "SHA-256 of 32 bytes", benches: []string{"BenchmarkSessionUser/warm/sessions=1000"}},
	{what: "`SessionUser`, cold", limit: "bbolt `View` with two reads", benches: []string{"BenchmarkSessionUser/cold"}},
	{what: "`HasPerm`, warm, 10 … 100,000 permissions", limit: "lookup in a Go map", free: true,
		benches: []string{"BenchmarkHasPerm/HasPerm/perms=10", "BenchmarkHasPerm/HasPerm/perms=1000", "BenchmarkHasPerm/HasPerm/perms=100000"}},
	{what: "`Identity.Has`, the same", limit: "lookup in a Go map", free: true,
		benches: []string{"BenchmarkHasPerm/Identity.Has/perms=10", "BenchmarkHasPerm/Identity.Has/perms=1000", "BenchmarkHasPerm/Identity.Has/perms=100000"}},
	{what: "`HasPerm` right after a change of that user or a group", limit: "bbolt `View` with two reads after a commit",
		benches: []string{"BenchmarkHasPermAfterChange/grant_to_the_user", "BenchmarkHasPermAfterChange/membership", "BenchmarkHasPermAfterChange/grant_to_a_group"}},
	{what: "`Authenticate`: right, wrong, unknown user", limit: "the raw argon2id hash",
		benches: []string{"BenchmarkAuthenticate/right", "BenchmarkAuthenticate/wrong", "BenchmarkAuthenticate/unknown_user"}},
	{what: "`Login`, alone", limit: "one bbolt `Update` of the same puts", benches: []string{"BenchmarkLogin/alone"}},
	{what: "`Login`, 64 at once", limit: "64 bbolt `Update`s at once", benches: []string{"BenchmarkLogin/64_at_once"}, per: 3200},
}

// readmeTable makes the table. A benchmark that was not measured is an error.
func readmeTable(r *raw) (string, error) {
	var b strings.Builder
	b.WriteString("| what | takes | limit | ratio |\n|---|---|---|---|\n")
	for _, row := range readmeRows {
		var takes, ratios, allocs span
		for _, bench := range row.benches {
			k := key{".", bench}
			own, ok := r.figure(k, "ns/call")
			ratio, ok2 := r.figure(k, "x-limit")
			if !ok || !ok2 {
				return "", fmt.Errorf("README.md: %s was not measured", bench)
			}
			takes.add(own.median / cmp.Or(row.per, 1))
			ratios.add(ratio.median)
			if n, ok := r.figure(k, "allocs/call"); ok {
				allocs.add(n.high)
			}
		}
		more := ""
		if row.free && allocs.n == len(row.benches) && allocs.high == 0 {
			more = ", 0 allocations"
		}
		if row.per > 0 {
			more = " each"
		}
		fmt.Fprintf(&b, "| %s | %s%s | %s | %s |\n", row.what, takes.text(duration), more, row.limit, ratios.text(digits))
	}
	return b.String(), nil
}

// A span is from the least to the greatest of some numbers.
type span struct {
	low, high float64
	n         int
}

func (s *span) add(v float64) {
	if s.n == 0 {
		s.low, s.high = v, v
	}
	s.low, s.high, s.n = min(s.low, v), max(s.high, v), s.n+1
}

// text is one number if both ends look the same.
func (s *span) text(format func(float64) string) string {
	if low, high := format(s.low), format(s.high); low != high {
		return low + " … " + high
	}
	return format(s.high)
}

// writeReadme puts the table into the README.
func writeReadme(r *raw, path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(text), readmeBegin)
	_, after, ok2 := strings.Cut(rest, readmeEnd)
	if !ok || !ok2 {
		return errors.New("README.md: the lines around the figures are missing")
	}
	table, err := readmeTable(r)
	if err != nil {
		return err
	}
	facts := fmt.Sprintf("%s processors, %s, %s; rounds: %s.\n\n", r.facts["processors"], strings.TrimSpace(r.facts["cpu"]), r.facts["go"], r.facts["rounds"])
	return os.WriteFile(path, []byte(before+readmeBegin+facts+table+readmeEnd+after), 0o644)
}
