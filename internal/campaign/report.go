package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// A report is what a campaign found, and on what.
type report struct {
	*options
	began   time.Time
	took    time.Duration
	system  [][2]string // what it ran on
	results []*result
	left    []*step // not run, or not to the end, because of an interrupt
}

func newReport(ctx context.Context, root string, o *options) *report {
	r := &report{options: o, began: time.Now().UTC()}
	add := func(name, value string) { r.system = append(r.system, [2]string{name, orUnknown(value)}) }
	add("commit", commit(ctx, root))
	add("seed", fmt.Sprint(o.seed))
	add("Go", output(ctx, root, "go", "env", "GOVERSION")+" "+runtime.GOOS+"/"+runtime.GOARCH)
	add("bbolt", output(ctx, root, "go", "list", "-m", "-f", "{{.Version}}", "go.etcd.io/bbolt"))
	add("kernel", output(ctx, root, "uname", "-sr"))
	add("file system", output(ctx, root, "stat", "-f", "-c", "%T", os.TempDir())+" for temporary files")
	add("processors", fmt.Sprint(runtime.NumCPU()))
	return r
}

func orUnknown(s string) string {
	if strings.TrimSpace(s) == "" {
		return "unknown"
	}
	return strings.TrimSpace(s)
}

// output returns what a command prints, or "" if there is no such command.
func output(ctx context.Context, dir, name string, args ...string) string {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// commit is what is checked out.
func commit(ctx context.Context, root string) string {
	commit := output(ctx, root, "git", "rev-parse", "--short=12", "HEAD")
	if output(ctx, root, "git", "status", "--porcelain", "--untracked-files=no") != "" {
		commit += ", with changes that are not committed"
	}
	return commit
}

// moduleRoot is the folder of go.mod.
func moduleRoot(ctx context.Context) (string, error) {
	gomod := output(ctx, ".", "go", "env", "GOMOD")
	if filepath.Base(gomod) != "go.mod" {
		return "", fmt.Errorf("this is no folder of the repository")
	}
	return filepath.Dir(gomod), nil
}

// write writes the report as a page and as a table, and returns the path of the page.
func (r *report) write(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(dir, r.began.Format("2006-01-02")+"-"+r.size+".md")
	if err := os.WriteFile(strings.TrimSuffix(path, ".md")+".tsv", []byte(r.table()), 0o644); err != nil {
		return "", err
	}
	return path, os.WriteFile(path, []byte(r.page()), 0o644)
}

// table is the report for programs: lines of run or step, and their columns.
func (r *report) table() string {
	var b strings.Builder
	row := func(columns ...string) {
		for i, c := range columns {
			columns[i] = strings.NewReplacer("\t", " ", "\n", " ").Replace(c)
		}
		b.WriteString(strings.Join(columns, "\t") + "\n")
	}
	row("kind", "name", "promises", "result", "seconds", "counts")
	row("run", "size", "", r.size, "", "")
	row("run", "began", "", r.began.Format(time.RFC3339), "", "")
	for _, s := range r.system {
		row("run", s[0], "", s[1], "", "")
	}
	if len(r.left) > 0 {
		row("run", "not run", "", names(r.left), "", "")
	}
	for _, res := range r.results {
		row("step", res.name, res.promises, res.verdict(), fmt.Sprintf("%.0f", res.took.Seconds()), res.counts.String())
	}
	return b.String()
}

// page is the report for people.
func (r *report) page() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Campaign of %s, size %s\n\n", r.began.Format("2006-01-02"), r.size)
	only := ""
	switch {
	case r.again != "":
		only = " -again " + filepath.Base(r.again)
	case r.only != "":
		only = " -only " + r.only
	}
	fmt.Fprintf(&b, "Written by `go run ./internal/campaign -size %s -seed %d%s`; begun %s, took %v. %s\n\n", r.size, r.seed, only,
		r.began.Format("15:04 MST"), r.took.Round(time.Second), r.sentence())
	if len(r.left) > 0 {
		fmt.Fprintf(&b, "It was interrupted. Not run, or not to the end: %s.\n\n", names(r.left))
	}
	b.WriteString("| | |\n|---|---|\n")
	for _, s := range r.system {
		fmt.Fprintf(&b, "| %s | %s |\n", s[0], cell(s[1]))
	}
	b.WriteString("\n| step | promises | result | took | counted |\n|---|---|---|---|---|\n")
	for _, res := range r.results {
		fmt.Fprintf(&b, "| %s | %s | %s | %v | %s |\n", res.name, res.promises, res.verdict(), res.took.Round(time.Second), cell(res.counts.String()))
	}
	if skipped := r.all(func(res *result) []string { return res.skipped }); skipped != "" {
		b.WriteString("\n## Skipped\n\n" + skipped)
	}
	if wrong := r.all(func(res *result) []string { return append(append([]string{}, res.wrong...), res.repeat...) }); wrong != "" {
		b.WriteString("\n## Failed\n\n" + wrong)
	}
	b.WriteString("\n## Commands\n\n")
	for _, res := range r.results {
		fmt.Fprintf(&b, "- %s: `%s`\n", res.name, res.command())
	}
	return b.String()
}

func cell(s string) string { return strings.ReplaceAll(s, "|", "\\|") }

// all lists something of each step.
func (r *report) all(of func(*result) []string) string {
	var b strings.Builder
	for _, res := range r.results {
		for _, s := range of(res) {
			fmt.Fprintf(&b, "- %s: %s\n", res.name, s)
		}
	}
	return b.String()
}

// names returns the names of steps.
func names(steps []*step) string {
	var all []string
	for _, s := range steps {
		all = append(all, s.name)
	}
	return strings.Join(all, ", ")
}

// sentence sums the results up.
func (r *report) sentence() string {
	n := make(map[string]int)
	for _, res := range r.results {
		verdict, _, _ := strings.Cut(res.verdict(), ",")
		n[verdict]++
	}
	return fmt.Sprintf("Of %d steps %d passed, %d failed, %d were skipped.", len(r.results), n["passed"], n["FAILED"], n["SKIPPED"])
}

// summary prints how it ended and how to repeat what failed, and reports whether all was run and nothing failed.
func (r *report) summary(out io.Writer) bool {
	ok := len(r.left) == 0
	if !ok {
		fmt.Fprintf(out, "\nINTERRUPTED: not run, or not to the end: %s\n", names(r.left))
	}
	fmt.Fprintf(out, "\n%s Seed %d, %v.\n", r.sentence(), r.seed, r.took.Round(time.Second))
	for _, res := range r.results {
		for _, s := range res.skipped {
			fmt.Fprintf(out, "SKIPPED: %s: %s\n", res.name, s)
		}
		if len(res.wrong) == 0 {
			continue
		}
		ok = false
		fmt.Fprintf(out, "FAILED: %s: %s\n", res.name, strings.Join(res.wrong, "; "))
		for _, line := range res.said {
			fmt.Fprintf(out, "    %s\n", line)
		}
		for _, c := range res.repeat {
			fmt.Fprintf(out, "    once more: %s\n", c)
		}
		fmt.Fprintf(out, "    the whole step: go run ./internal/campaign -size %s -seed %d -only %s\n", r.size, r.seed, res.name)
	}
	return ok && len(r.results) > 0
}
