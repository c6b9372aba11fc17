package main

import "regexp"

// masks replace what differs from run to run.
var masks = []struct {
	find    *regexp.Regexp
	replace string
}{
	{regexp.MustCompile(`\b2\d{3}-\d\d-\d\d \d\d:\d\d:\d\dZ`), "2026-11-27 10:04:05Z"},
	{regexp.MustCompile(`\b2\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "2026-11-27T10:04:05Z"},
	{regexp.MustCompile(`before-restore-\d{8}T\d{6}Z`), "before-restore-20261127T100405Z"},
	{regexp.MustCompile(`\b[0-9.]+(µs|ms|s)\b`), "12ms"},
	{regexp.MustCompile(`\b[0-9a-f]{32}\b`), "5e1f0c2d9a7b4863bd1e0f4a6c8d2b97"},
	{regexp.MustCompile(`leave blank to use '[^']*'`), "leave blank to use 'ada'"},
	{regexp.MustCompile(`\bprocess \d+ \([^)]*\)`), "process 4242 (myapp)"},
	{regexp.MustCompile(`\bProcess \d+ \([^)]*\)`), "Process 4242 (myapp)"},
	{regexp.MustCompile(`\b[A-Za-z0-9_-]{64}\b`), "AAeciAGiG_5lxsd1ZCxNexcl8ghdG6m4sSMWmUyju-mZICVkgG695geR84-vaAU1"},
}

// mask makes a screen the same for every run.
func (s *screen) mask() {
	for i, row := range s.rows {
		for _, m := range masks {
			row = maskRow(row, m.find, m.replace)
		}
		s.rows[i] = row
	}
}

// maskRow replaces each match in a row. What takes its place looks like its first character did.
func maskRow(row []cell, find *regexp.Regexp, replace string) []cell {
	var text []byte
	var at []int // cell of each byte
	for i, c := range row {
		for range len(string(c.r)) {
			at = append(at, i)
		}
		text = append(text, string(c.r)...)
	}
	var out []cell
	from := 0
	for _, m := range find.FindAllIndex(text, -1) {
		first := at[m[0]]
		out = append(out, row[from:first]...)
		for _, r := range replace {
			out = append(out, cell{r, row[first].style})
		}
		from = len(row)
		if m[1] < len(at) {
			from = at[m[1]]
		}
	}
	return append(out, row[from:]...)
}
