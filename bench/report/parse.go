package main

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// A result is one line of the output of a benchmark: what one round of it measured.
type result struct {
	module string // "." or "bench"
	name   string // as printed, without the number of processors
	values map[string]float64
}

// A raw is what was measured in all rounds, in the order in which it was.
type raw struct {
	facts   map[string]string // about the machine and the run, from lines "key: value"
	order   []key
	results map[key][]result
	failed  []string // lines that say that something went wrong
	skipped map[key]string
}

// A key names one benchmark.
type key struct{ module, name string }

const modulePath = "github.com/latchbolt-go/latchbolt"

// parse reads the format of Go's benchmarks: lines "key: value" about what follows, and lines that begin with "Benchmark", with
// a number of iterations and pairs of a value and its unit. Other lines are passed over, unless they tell of a failure.
func parse(r io.Reader) (*raw, error) {
	out := &raw{facts: make(map[string]string), results: make(map[key][]result), skipped: make(map[key]string)}
	module := "."
	var skipped *key // the benchmark whose reason for being skipped comes next
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		if skipped != nil {
			if at, reason, ok := strings.Cut(line, ": "); ok && strings.Contains(at, ".go:") {
				out.skipped[*skipped] = reason
			}
			skipped = nil
		}
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "--- SKIP: "); ok {
			name, _, _ = strings.Cut(name, " ")
			skipped = &key{module, withoutProcs(name)}
			continue
		}
		if strings.HasPrefix(line, "--- FAIL") || strings.HasPrefix(line, "FAIL") || strings.HasPrefix(line, "panic:") {
			out.failed = append(out.failed, line)
			continue
		}
		if k, v, ok := strings.Cut(line, ": "); ok && !strings.ContainsAny(k, " \t") && k == strings.ToLower(k) {
			if k == "pkg" {
				module = moduleOf(v)
			}
			out.facts[k] = strings.TrimSpace(v)
			continue
		}
		res, ok, err := parseLine(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if !ok {
			continue
		}
		res.module = module
		k := key{module, res.name}
		if out.results[k] == nil {
			out.order = append(out.order, k)
		}
		out.results[k] = append(out.results[k], res)
	}
	return out, lines.Err()
}

func moduleOf(pkg string) string {
	if rest := strings.TrimPrefix(pkg, modulePath); rest != "" {
		return strings.TrimPrefix(rest, "/")
	}
	return "."
}

// parseLine reads one line of results. ok is false for a line that is none, such as the name of a benchmark that logs before it ends.
func parseLine(line string) (res result, ok bool, err error) {
	fields := strings.Fields(line)
	if !strings.HasPrefix(line, "Benchmark") || len(fields) < 4 {
		return res, false, nil
	}
	if _, err := strconv.ParseInt(fields[1], 10, 64); err != nil {
		return res, false, nil
	}
	res.name, res.values = withoutProcs(fields[0]), make(map[string]float64)
	pairs := fields[2:]
	if len(pairs)%2 != 0 {
		return res, false, fmt.Errorf("%s: a value without a unit, or a unit without a value", res.name)
	}
	for i := 0; i < len(pairs); i += 2 {
		v, err := strconv.ParseFloat(pairs[i], 64)
		if err != nil {
			return res, false, fmt.Errorf("%s: %q is not a number", res.name, pairs[i])
		}
		res.values[pairs[i+1]] = v
	}
	return res, true, nil
}

// withoutProcs takes the number of processors off a name. It is not there if that is 1.
func withoutProcs(name string) string {
	i := strings.LastIndexByte(name, '-')
	if i < 0 {
		return name
	}
	if _, err := strconv.Atoi(name[i+1:]); err != nil {
		return name
	}
	return name[:i]
}

// A figure is what the rounds of one benchmark say about one unit.
type figure struct {
	median, low, high float64
	rounds            int
}

// figure returns the figure of a benchmark for a unit, and whether there is one.
func (r *raw) figure(k key, unit string) (f figure, ok bool) {
	var all []float64
	for _, res := range r.results[k] {
		if v, ok := res.values[unit]; ok {
			all = append(all, v)
		}
	}
	if len(all) == 0 {
		return f, false
	}
	slices.Sort(all)
	mid := all[len(all)/2]
	if len(all)%2 == 0 {
		mid = (all[len(all)/2-1] + mid) / 2
	}
	return figure{median: mid, low: all[0], high: all[len(all)-1], rounds: len(all)}, true
}

// units returns the units of a benchmark in order, without those that say nothing.
func (r *raw) units(k key) (all []string) {
	for _, res := range r.results[k] {
		for unit, v := range res.values {
			if unit == "ns/op" && v == 0 {
				continue // reported so by benchmarks that have a better unit
			}
			if !slices.Contains(all, unit) {
				all = append(all, unit)
			}
		}
	}
	slices.Sort(all)
	return all
}

// skipReason says why a benchmark was skipped: itself, one above it or one beneath it.
func (r *raw) skipReason(k key) string {
	for s, reason := range r.skipped {
		if s.module == k.module && (s.name == k.name || strings.HasPrefix(k.name, s.name+"/") || strings.HasPrefix(s.name, k.name+"/")) {
			return reason
		}
	}
	return ""
}
