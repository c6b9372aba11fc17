package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A page is docs/BENCHMARKS.md under construction.
type page struct {
	strings.Builder
	raw     *raw
	targets []target
	charts  map[string]*chart // by file, those that have something to show
}

func (p *page) printf(format string, args ...any) { fmt.Fprintf(p, format, args...) }

// write makes the whole page.
func (p *page) write() string {
	p.head()
	p.targetTable()
	for _, s := range sections {
		p.section(s)
	}
	p.recorded()
	p.middleware()
	p.wholePath()
	p.ownFigures()
	p.growth()
	p.everything()
	return p.String()
}

func (p *page) head() {
	p.printf("# Benchmarks\n\nMade by one command from what one run measured; not written by hand:\n\n```\ncd bench && %s\n```\n\n", cmp.Or(p.raw.facts["command"], "go run ./report"))
	if p.raw.facts["short"] != "" {
		p.printf("**A smoke run: each benchmark ran once, and the figures mean nothing.**\n\n")
	}
	if p.busy() {
		minute, _, _ := strings.Cut(p.raw.facts["load"], " ")
		p.printf("**In the minute before the first round the load of the machine was %s. If what made it went on, times are too long, and ratios uncertain.**\n\n", minute)
	}
	if at := p.raw.facts["interrupted"]; at != "" {
		p.printf("**Interrupted %s: what comes later in a round was measured less often, or not at all.**\n\n", at)
	}
	p.printf("Each figure is the median of the rounds, with the least and the greatest. A ratio is taken within a round, the two measured in turn, so that a noisy " +
		"machine is noisy for both; ratios count more than times.\n\n| | |\n|---|---|\n")
	for _, f := range []struct{ name, key string }{{"machine", "cpu"}, {"processors", "processors"}, {"memory", "memory"}, {"load average before", "load"}, {"system", "system"}, {"file system", "filesystem"},
		{"Go", "go"}, {"commit", "commit"}, {"when", "date"}, {"rounds", "rounds"}, {"time for each benchmark", "benchtime"}, {"peers", "peers"}, {"Django", "django"}} {
		if v := p.raw.facts[f.key]; v != "" {
			p.printf("| %s | %s |\n", f.name, v)
		}
	}
	for _, line := range p.raw.failed {
		p.printf("\n**Failed:** `%s`\n", line)
	}
	p.printf("\n")
}

// busy says whether others kept more than half of the processors busy in the minute before the run.
func (p *page) busy() bool {
	minute, _, _ := strings.Cut(p.raw.facts["load"], " ")
	load, err := strconv.ParseFloat(minute, 64)
	n, err2 := strconv.ParseFloat(p.raw.facts["processors"], 64)
	return err == nil && err2 == nil && load > n/2
}

func (p *page) targetTable() {
	counts := make(map[verdict]int)
	for i := range p.targets {
		v, _ := p.targets[i].judge(p.raw)
		counts[v]++
	}
	p.printf("## Targets\n\n%d met, %d not met, %d not measured in this run. The rows are in `bench/targets.tsv`.\n\n", counts[met], counts[missed], counts[notMeasured])
	p.printf("| target | bound | median | rounds | |\n|---|---|---|---|---|\n")
	for i := range p.targets {
		t := &p.targets[i]
		v, f := t.judge(p.raw)
		var median string
		verdict := string(v)
		switch v {
		case missed:
			verdict = "**" + verdict + "**"
			fallthrough
		case met:
			median = value(f.median, t.unit)
		case notMeasured:
			verdict += p.why(t)
		}
		p.printf("| %s | %s %s | %s | %s | %s |\n", t.text, strings.NewReplacer("<=", "≤", ">=", "≥").Replace(t.op), value(t.bound, t.unit), median, f.span(t.unit), verdict)
	}
	p.printf("\n")
	var notes bool
	for i := range p.targets {
		t := &p.targets[i]
		if v, f := t.judge(p.raw); v == missed && t.note != "" {
			if !notes {
				p.printf("### Why those that are not met are not\n\n")
				notes = true
			}
			p.printf("- **%s** (%s): %s\n", t.text, value(f.median, t.unit), t.note)
		}
	}
	if notes {
		p.printf("\n")
	}
}

// why says why a target was not measured.
func (p *page) why(t *target) string {
	if reason := p.raw.skipReason(t.key); reason != "" {
		return ": " + reason
	}
	if t.env != "" && !strings.Contains(p.raw.facts["environment"], t.env) {
		return ": needs `" + t.env + "`"
	}
	return ""
}

// sizes returns the benchmarks of a row, by size: the one of that name, or those under it.
func (p *page) sizes(bench string) (all []key) {
	for _, k := range p.raw.order {
		if k.module == "bench" && (k.name == bench || strings.HasPrefix(k.name, bench+"/")) {
			all = append(all, k)
		}
	}
	return all
}

func (p *page) section(s section) {
	p.printf("## %s\n\n%s\n\n| | takes | rounds | allocations | latchbolt in the same rounds | latchbolt is faster by | what it does not do |\n|---|---|---|---|---|---|---|\n", s.title, s.intro)
	for _, r := range s.rows {
		keys := p.sizes(r.bench)
		if len(keys) == 0 {
			p.printf("| %s | not measured%s | | | | | %s |\n", r.label, prefixed(": ", p.raw.skipReason(key{"bench", r.bench})), r.lacks)
		}
		for _, k := range keys {
			label := r.label
			if rest := strings.TrimPrefix(k.name, r.bench+"/"); rest != k.name {
				label += ", " + sizeInWords(rest)
			}
			own, _ := p.raw.figure(k, "ns/call")
			ours, _ := p.raw.figure(k, "latchbolt-ns/call")
			ratio, _ := p.raw.figure(k, "x-latchbolt")
			allocs := "–"
			if a, ok := p.raw.figure(k, "allocs/call"); ok {
				allocs = thousands(a.median)
			}
			p.printf("| %s | %s | %s | %s | %s | **%s**%s | %s |\n", label, duration(own.median), own.span("ns/call"), allocs, duration(ours.median),
				value(ratio.median, "x-"), inBrackets(ratio.span("x-")), r.lacks)
		}
	}
	p.printf("\n")
	for _, pic := range pictures {
		if pic.belongs == s.title {
			p.picture(pic)
		}
	}
}

func inBrackets(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}

func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}

// sizeInWords makes "rules=110000" readable.
func sizeInWords(s string) string {
	name, n, ok := strings.Cut(s, "=")
	if v, err := strconv.ParseFloat(n, 64); ok && err == nil {
		return thousands(v) + " " + name
	}
	return strings.ReplaceAll(s, "_", " ")
}

// picture shows a chart, if there is something on it.
func (p *page) picture(pic picture) {
	if c := p.charts[pic.file]; c != nil {
		p.printf("![%s](img/%s)\n\n", c.title+": "+c.inWords(), pic.file)
	}
}

func (p *page) recorded() {
	p.printf("## Recorded elsewhere\n\nThese figures were measured on another machine of two cores, and are not from this run.\n\n| what | figure | |\n|---|---|---|\n")
	for _, r := range records {
		p.printf("| %s | %s | %s |\n", r.what, r.figure, r.why)
	}
	p.printf("\n")
}

// middleware is one request through what stands before a handler, without a network.
func (p *page) middleware() {
	keys := p.sizes("BenchmarkSignedIn")
	if len(keys) == 0 {
		return
	}
	p.printf("## Through the middleware\n\nOne request of somebody who is signed in, to a handler that greets by name; the difference to the bare handler is what the middleware costs. " +
		"scs has the name in its session, in memory: it looks up no user and no permissions.\n\n| | takes | rounds | memory | allocations |\n|---|---|---|---|---|\n")
	for _, k := range keys {
		get := func(unit string) figure { f, _ := p.raw.figure(k, unit); return f }
		p.printf("| %s | %s | %s | %s | %s |\n", strings.ReplaceAll(strings.TrimPrefix(k.name, "BenchmarkSignedIn/"), "_", " "), duration(get("ns/op").median), get("ns/op").span("ns/op"),
			size(get("B/op").median), thousands(get("allocs/op").median))
	}
	p.printf("\n")
}

// wholePath is the example program under load, in a process of its own.
func (p *page) wholePath() {
	keys := p.sizes("BenchmarkWholePath")
	if len(keys) == 0 {
		return
	}
	p.printf("## The whole path\n\nThe notice board of `examples/intranet`, in a process of its own, over HTTP on loopback; the one who asks runs on the same processors. " +
		"Signing in hashes a password with argon2id. An answer that is not the one expected is an error.\n\n| | throughput | median | 99 of 100 within | errors |\n|---|---|---|---|---|\n")
	for _, k := range keys {
		get := func(unit string) figure { f, _ := p.raw.figure(k, unit); return f }
		p.printf("| %s | %s requests/s%s | %s ms | %s ms%s | %s |\n", strings.ReplaceAll(strings.TrimPrefix(k.name, "BenchmarkWholePath/"), "_", " "),
			digits(get("req/s").median), inBrackets(get("req/s").span("req/s")), digits(get("p50-ms").median), digits(get("p99-ms").median), inBrackets(get("p99-ms").span("p99-ms")), digits(get("errors").high))
	}
	p.printf("\n")
}

// ownFigures are those beside their limits, of the root module.
func (p *page) ownFigures() {
	p.printf("## Beside the limit\n\nThe engine's own benchmarks, each measured in turn with what the machine or the library underneath can do at all; `bench_test.go` says what each limit is.\n\n" +
		"| benchmark | takes | rounds | limit | ratio |\n|---|---|---|---|---|\n")
	for _, k := range p.raw.order {
		ratio, ok := p.raw.figure(k, "x-limit")
		if !ok {
			continue
		}
		own, _ := p.raw.figure(k, "ns/call")
		limit, _ := p.raw.figure(k, "limit-ns/call")
		p.printf("| %s | %s | %s | %s | **%s**%s |\n", shortName(k), duration(own.median), own.span("ns/call"), duration(limit.median), value(ratio.median, "x-"), inBrackets(ratio.span("x-")))
	}
	p.printf("\n")
}

func shortName(k key) string {
	return strings.ReplaceAll(strings.TrimPrefix(k.name, "Benchmark"), "_", " ")
}

func (p *page) growth() {
	var any bool
	for _, pic := range pictures {
		if pic.belongs == "" && p.charts[pic.file] != nil {
			if !any {
				p.printf("## As it grows\n\nBoth axes are logarithmic. A line that does not climb does not grow; the bars reach from the least to the greatest of the rounds.\n\n")
				any = true
			}
			p.picture(pic)
		}
	}
}

// everything is each figure of each benchmark.
func (p *page) everything() {
	p.printf("## All figures\n\n| benchmark | unit | median | rounds |\n|---|---|---|---|\n")
	keys := slices.Clone(p.raw.order)
	slices.SortStableFunc(keys, func(a, b key) int { return cmp.Compare(a.module, b.module) })
	for _, k := range keys {
		name := shortName(k)
		if k.module != "." {
			name = k.module + ": " + name
		}
		for _, unit := range p.raw.units(k) {
			f, _ := p.raw.figure(k, unit)
			p.printf("| %s | %s | %s | %s |\n", name, unit, value(f.median, unit), f.span(unit))
			name = ""
		}
	}
}

// chartsOf draws what can be drawn. A line needs two points to be one.
func chartsOf(r *raw) map[string]*chart {
	all := make(map[string]*chart)
	for _, pic := range pictures {
		c := &chart{title: pic.title, x: pic.x, y: pic.y, format: duration}
		if pic.bytes {
			c.format = decimalSize
		}
		for _, l := range pic.lines {
			if points := l.points(r); len(points) > 1 {
				c.lines = append(c.lines, line{l.label, points})
			}
		}
		if len(c.lines) > 0 {
			all[pic.file] = c
		}
	}
	return all
}

func (l *pictureLine) points(r *raw) (all []point) {
	for _, k := range r.order {
		m := l.name.FindStringSubmatch(k.name)
		if m == nil || k.module != l.module {
			continue
		}
		x, err := strconv.ParseFloat(m[1], 64)
		f, ok := r.figure(k, l.unit)
		if err == nil && ok && f.low > 0 {
			all = append(all, point{x, f.median, f.low, f.high})
		}
	}
	slices.SortFunc(all, func(a, b point) int { return cmp.Compare(a.x, b.x) })
	return all
}
