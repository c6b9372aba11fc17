package main

import (
	"regexp"
	"time"
)

// A mask replaces what differs from run to run.
type mask struct {
	find    *regexp.Regexp
	replace string
}

var masks = []mask{
	{regexp.MustCompile(`before-restore-\d{8}T\d{6}Z`), "before-restore-20261127T100405Z"},
	{regexp.MustCompile(`\b[0-9.]+(µs|ms|s)\b`), "12ms"},
	{regexp.MustCompile(`\b[0-9a-f]{32}\b`), "5e1f0c2d9a7b4863bd1e0f4a6c8d2b97"},
	{regexp.MustCompile(`leave blank to use '[^']*'`), "leave blank to use 'ada'"},
	{regexp.MustCompile(`\bprocess \d+ \([^)]*\)`), "process 4242 (myapp)"},
	{regexp.MustCompile(`\bProcess \d+ \([^)]*\)`), "Process 4242 (myapp)"},
}

// hide makes what a command shows the same for every run that began at a time. Times of before are left alone: they come from the data.
func hide(text string, began time.Time) string {
	for _, day := range []time.Time{began.UTC(), time.Now().UTC()} {
		today := regexp.QuoteMeta(day.Format(time.DateOnly))
		for _, m := range []mask{
			{regexp.MustCompile(today + `T\d\d:\d\d:\d\d(\.\d+)?Z`), "2026-11-27T10:04:05Z"},
			{regexp.MustCompile(today + ` \d\d:\d\d:\d\dZ`), "2026-11-27 10:04:05Z"},
		} {
			text = m.find.ReplaceAllString(text, m.replace)
		}
	}
	for _, m := range masks {
		text = m.find.ReplaceAllString(text, m.replace)
	}
	return text
}
