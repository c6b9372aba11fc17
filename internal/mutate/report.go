package main

import (
	"fmt"
	"io"
	"strings"
)

// A tally counts the mutants of a file.
type tally struct{ all, tried, killed, survived, equivalent, unreached int }

// rate is the share of those that could be noticed and were.
func (t tally) rate() float64 {
	if t.killed+t.survived == 0 {
		return 100
	}
	return 100 * float64(t.killed) / float64(t.killed+t.survived)
}

// A result is a mutant with what became of it.
type result struct {
	*mutant
	outcome
	reason string // why it is equivalent; "" if it is not
}

// label is the key as people read it.
func (m *mutant) label() string { return strings.ReplaceAll(m.key(), "\t", " | ") }

// diff shows a mutant as a change of the lines it stands on.
func (m *mutant) diff() string {
	text := m.file.text
	from, to := m.start, m.end
	for from > 0 && text[from-1] != '\n' {
		from--
	}
	for to < len(text) && text[to] != '\n' {
		to++
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:%d: %s: %s\n", m.file.rel, m.line, m.column, m.function, m.kind)
	for line := range strings.SplitSeq(string(text[from:to]), "\n") {
		fmt.Fprintf(&b, "  - %s\n", strings.TrimSpace(line))
	}
	changed := string(text[from:m.start]) + m.then + string(text[m.end:to])
	for line := range strings.SplitSeq(changed, "\n") {
		fmt.Fprintf(&b, "  + %s\n", strings.TrimSpace(line))
	}
	return b.String()
}

// count adds up results by file; "" is all of them.
func count(results []result, all []*mutant) map[string]tally {
	counts := make(map[string]tally)
	add := func(file string, fn func(*tally)) {
		for _, k := range []string{file, ""} {
			t := counts[k]
			fn(&t)
			counts[k] = t
		}
	}
	for _, m := range all {
		add(m.file.rel, func(t *tally) { t.all++ })
	}
	for _, r := range results {
		add(r.file.rel, func(t *tally) {
			t.tried++
			switch {
			case r.reason != "":
				t.equivalent++
			case r.killed:
				t.killed++
			default:
				t.survived++
				if r.reached == 0 {
					t.unreached++
				}
			}
		})
	}
	return counts
}

// writeReport writes what became of the mutants in Markdown.
func writeReport(w io.Writer, results []result, all []*mutant) {
	counts := count(results, all)
	fmt.Fprintln(w, "| file | mutants | tried | equivalent | noticed | not noticed | of these not reached | share |")
	fmt.Fprintln(w, "|---|---:|---:|---:|---:|---:|---:|---:|")
	row := func(name string, t tally) {
		fmt.Fprintf(w, "| %s | %d | %d | %d | %d | %d | %d | %.1f %% |\n", name, t.all, t.tried, t.equivalent, t.killed, t.survived, t.unreached, t.rate())
	}
	for _, f := range sortedKeys(counts) {
		if f != "" && counts[f].tried > 0 {
			row(f, counts[f])
		}
	}
	row("all", counts[""])
	fmt.Fprintln(w, "\n## Not noticed")
	for _, r := range results {
		if r.reason == "" && !r.killed {
			fmt.Fprintf(w, "\n```\n%s  %s\n```\n", r.diff(), r.label())
		}
	}
	fmt.Fprintln(w, "\n## Equivalent")
	for _, r := range results {
		if r.reason != "" {
			fmt.Fprintf(w, "\n- `%s`: %s\n", r.label(), r.reason)
		}
	}
}
