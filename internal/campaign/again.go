package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An earlier campaign is read from its report: what failed in it, or was not run, is run again, and the rest taken over.
type earlier struct {
	size    string
	seed    uint64
	began   time.Time
	system  [][2]string
	results []*result // in the order of the report; their steps have nothing but names
	again   []string  // names of steps
}

// readEarlier reads the table of a report, and from its page why tests were skipped.
func readEarlier(table string) (*earlier, error) {
	data, err := os.ReadFile(table)
	if err != nil {
		return nil, err
	}
	page, err := os.ReadFile(strings.TrimSuffix(table, ".tsv") + ".md")
	if err != nil {
		return nil, err
	}
	e := new(earlier)
	for i, line := range strings.Split(strings.TrimSuffix(string(data), "\n"), "\n") {
		f := strings.Split(line, "\t")
		if len(f) != 6 {
			return nil, fmt.Errorf("%s:%d: there are %d columns, not 6: is this the table of a report?", table, i+1, len(f))
		}
		var err error
		switch {
		case f[0] == "run":
			err = e.run(f[1], f[3])
		case f[0] == "step" && f[3] == "FAILED":
			e.again = append(e.again, f[1])
		case f[0] == "step":
			err = e.step(f, string(page))
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", table, i+1, err)
		}
	}
	if e.size == "" || e.seed == 0 || e.began.IsZero() {
		return nil, fmt.Errorf("%s does not say size, seed and time", table)
	}
	return e, nil
}

func (e *earlier) run(name, value string) (err error) {
	switch name {
	case "size":
		e.size = value
	case "began":
		e.began, err = time.Parse(time.RFC3339, value)
	case "not run":
		e.again = append(e.again, strings.Split(value, ", ")...)
	case "seed":
		e.seed, err = strconv.ParseUint(value, 10, 64)
		fallthrough
	default:
		e.system = append(e.system, [2]string{name, value})
	}
	return err
}

func (e *earlier) step(f []string, page string) error {
	seconds, err := strconv.Atoi(f[4])
	if err != nil {
		return err
	}
	res := &result{step: &step{name: f[1]}, was: f[3], took: time.Duration(seconds) * time.Second}
	res.counts.Read("campaign: " + f[5])
	for line := range strings.Lines(page) {
		if reason, ok := strings.CutPrefix(line, "- "+f[1]+": "); ok && !strings.HasPrefix(reason, "`") { // of the other lists, failures have no step that passed, and commands are in backquotes
			res.skipped = append(res.skipped, strings.TrimSuffix(reason, "\n"))
		}
	}
	e.results = append(e.results, res)
	return nil
}

// steps returns which of all steps are to be run again.
func (e *earlier) steps(all []*step) ([]*step, error) {
	var again []*step
	for _, s := range all {
		if slices.Contains(e.again, s.name) {
			again = append(again, s)
		}
	}
	if len(again) == 0 || len(again) < len(e.again) {
		return nil, fmt.Errorf("of the steps that failed or were not run, %q, there are %d", e.again, len(again))
	}
	return again, nil
}

// into puts what is taken over, and what ran again, into a report that is written in the place of the earlier one.
func (e *earlier) into(ctx context.Context, r *report, root string, all []*step) error {
	var ran []*step
	for _, res := range r.results {
		ran = append(ran, res.step)
	}
	again := fmt.Sprintf("%s, with %s, %s", names(ran), commit(ctx, root), r.began.Format(time.RFC3339))
	r.began, r.system = e.began, append(e.system, [2]string{"run again", again})
	for _, res := range e.results {
		i := slices.IndexFunc(all, func(s *step) bool { return s.name == res.name })
		if i < 0 {
			return fmt.Errorf("there is no step %q any more", res.name)
		}
		res.step = all[i]
	}
	r.results = append(r.results, e.results...)
	at := func(res *result) int { return slices.Index(all, res.step) }
	slices.SortFunc(r.results, func(a, b *result) int { return at(a) - at(b) })
	r.took = 0
	for _, res := range r.results {
		r.took += res.took
	}
	return nil
}
