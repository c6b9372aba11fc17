package main

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// A target is one row of targets.tsv: what has to hold for a figure.
type target struct {
	id, text   string
	key        key
	unit       string
	op         string // "<=", ">=" or "="
	bound      float64
	boundText  string
	env        string // NAME=VALUE that the benchmark needs, or ""
	note       string // why it has to be so if it cannot be reached, or ""
	lineNumber int
}

const targetsHeader = "id\ttarget\tmodule\tbenchmark\tmetric\top\tbound\tenv\tnote"

var (
	slug      = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	benchName = regexp.MustCompile(`^Benchmark[A-Z0-9]\w*(/\S+)*$`)
	envName   = regexp.MustCompile(`^[A-Z][A-Z0-9_]*(=\S+)?$`)
)

// readTargets reads targets.tsv. The error names every row that is not well formed.
func readTargets(path string) ([]target, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parseTargets(string(data))
}

func parseTargets(text string) (all []target, err error) {
	var wrong []string
	seen := make(map[string]bool)
	header, rows, _ := strings.Cut(strings.TrimSuffix(text, "\n"), "\n")
	if header != targetsHeader {
		return nil, fmt.Errorf("the first line is not %q", targetsHeader)
	}
	for i, row := range strings.Split(rows, "\n") {
		t, err := parseTarget(row)
		if err == nil && seen[t.id] {
			err = fmt.Errorf("a second row has the id %q", t.id)
		}
		if err != nil {
			wrong = append(wrong, fmt.Sprintf("line %d: %v", i+2, err))
			continue
		}
		seen[t.id] = true
		t.lineNumber = i + 2
		all = append(all, t)
	}
	if wrong != nil {
		return nil, fmt.Errorf("%s", strings.Join(wrong, "\n"))
	}
	return all, nil
}

func parseTarget(row string) (t target, err error) {
	f := strings.Split(row, "\t")
	if len(f) != 9 {
		return t, fmt.Errorf("it has %d fields, not 9", len(f))
	}
	for i, name := range strings.Split(targetsHeader, "\t") {
		if strings.TrimSpace(f[i]) != f[i] || f[i] == "" {
			return t, fmt.Errorf("the field %s is empty or has spaces around it; nothing is written as -", name)
		}
	}
	t = target{id: f[0], text: f[1], key: key{f[2], f[3]}, unit: f[4], op: f[5], boundText: f[6], env: f[7], note: f[8]}
	if t.env == "-" {
		t.env = ""
	}
	if t.note == "-" {
		t.note = ""
	}
	if t.bound, err = strconv.ParseFloat(t.boundText, 64); err != nil {
		return t, fmt.Errorf("the bound %q is not a number", t.boundText)
	}
	switch {
	case !slug.MatchString(t.id):
		err = fmt.Errorf("the id %q is not a short name like warm-session", t.id)
	case t.key.module != "." && t.key.module != "bench":
		err = fmt.Errorf("the module %q is neither . nor bench", t.key.module)
	case !benchName.MatchString(t.key.name):
		err = fmt.Errorf("%q is not the name of a benchmark", t.key.name)
	case strings.ContainsAny(t.unit, " "):
		err = fmt.Errorf("the metric %q is not a unit", t.unit)
	case t.op != "<=" && t.op != ">=" && t.op != "=":
		err = fmt.Errorf("the op %q is not <=, >= or =", t.op)
	case t.env != "" && !envName.MatchString(t.env):
		err = fmt.Errorf("the env %q is neither NAME nor NAME=VALUE", t.env)
	}
	if t.env != "" && !strings.Contains(t.env, "=") {
		t.env += "=1"
	}
	return t, err
}

// holds says whether a value meets the target.
func (t *target) holds(v float64) bool {
	switch t.op {
	case "<=":
		return v <= t.bound
	case ">=":
		return v >= t.bound
	}
	return v == t.bound
}

// A verdict is how a target fared.
type verdict string

const (
	met         verdict = "met"
	missed      verdict = "not met"
	notMeasured verdict = "not measured"
)

func (t *target) judge(r *raw) (verdict, figure) {
	if t.env != "" && !strings.Contains(r.facts["environment"], t.env) {
		return notMeasured, figure{} // a smaller size of the same name was
	}
	f, ok := r.figure(t.key, t.unit)
	switch {
	case !ok:
		return notMeasured, f
	case t.holds(f.median):
		return met, f
	}
	return missed, f
}
