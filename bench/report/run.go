package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// A plan is how to measure.
type plan struct {
	rounds    int
	benchtime string
	only      string // a pattern for -bench
	short     bool
	env       []string
	command   string // as the page shows it
}

// measure builds the benchmarks of both modules and runs them, round after round, so that what disturbs one round disturbs all of
// it. It writes the output, and lines about the machine before it, to w. Benchmarks that fail do not keep the others from being measured.
func (pl *plan) measure(ctx context.Context, root string, w io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "latchbolt-report-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	binaries := make(map[string]string)
	for _, module := range []string{".", "bench"} {
		bin := filepath.Join(dir, "m"+module+".test")
		if out, err := pl.tool(ctx, filepath.Join(root, module), "go", "test", "-c", "-o", bin, "."); err != nil {
			return fmt.Errorf("building the benchmarks of %s: %w\n%s", module, err, out)
		}
		binaries[module] = bin
	}
	if err := pl.facts(ctx, root, w); err != nil {
		return err
	}
	var failed error
	for round := range pl.rounds {
		for _, module := range []string{".", "bench"} {
			fmt.Fprintf(os.Stderr, "round %d of %d, module %s [%s]\n", round+1, pl.rounds, module, time.Now().Format(time.TimeOnly))
			args := []string{"-test.run=^$", "-test.v", "-test.timeout=0", "-test.bench=" + pl.only, "-test.benchtime=" + pl.benchtime}
			if pl.short {
				args = append(args, "-test.short")
			}
			cmd := exec.CommandContext(ctx, binaries[module], args...)
			cmd.Dir = filepath.Join(root, module)
			cmd.Env = append(os.Environ(), pl.env...)
			err := stream(cmd, w)
			if ctx.Err() != nil {
				_, err := fmt.Fprintf(w, "interrupted: in round %d\n", round+1)
				return errors.Join(ctx.Err(), err)
			}
			if err != nil {
				failed = errors.Join(failed, fmt.Errorf("benchmarks of module %s, round %d: %w", module, round+1, err))
			}
		}
	}
	return failed
}

// stream runs a command, writes its standard output to w and shows each result on standard error.
func stream(cmd *exec.Cmd, w io.Writer) error {
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		line := lines.Text()
		if _, ok, _ := parseLine(line); ok || strings.Contains(line, "--- ") {
			fmt.Fprintln(os.Stderr, line)
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return errors.Join(err, cmd.Wait())
		}
	}
	return errors.Join(lines.Err(), cmd.Wait())
}

func (pl *plan) tool(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// facts writes what has to be known about the machine and the run. What cannot be found out is left out.
func (pl *plan) facts(ctx context.Context, root string, w io.Writer) error {
	commit, err := pl.tool(ctx, root, "git", "rev-parse", "--short=12", "HEAD")
	if err != nil {
		commit = "unknown"
	} else if changed, err := pl.tool(ctx, root, "git", "status", "--porcelain", "--untracked-files=no", "--", "*.go", "*.mod"); err == nil && changed != "" {
		commit += ", with changes"
	}
	facts := [][2]string{
		{"command", pl.command}, {"commit", commit}, {"date", time.Now().UTC().Format("2006-01-02 15:04 UTC")}, {"go", runtime.Version()},
		{"processors", fmt.Sprint(runtime.NumCPU())}, {"rounds", fmt.Sprint(pl.rounds)}, {"benchtime", pl.benchtime}, {"environment", strings.Join(pl.env, " ")},
		{"memory", memory()}, {"load", load()}, {"system", system(ctx, pl)}, {"filesystem", fileSystem(ctx, pl)}, {"peers", pl.peers(ctx, root)}, {"django", pl.django(ctx, root)},
	}
	if pl.short {
		facts = append(facts, [2]string{"short", "yes"})
	}
	for _, f := range facts {
		if f[1] != "" {
			if _, err := fmt.Fprintf(w, "%s: %s\n", f[0], f[1]); err != nil {
				return err
			}
		}
	}
	return nil
}

func memory() string {
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return ""
	}
	var kib float64
	if _, err := fmt.Sscanf(string(data), "MemTotal: %f kB", &kib); err != nil {
		return ""
	}
	return size(kib * 1024)
}

// load is the load average when the run begins: what the machine does besides.
func load() string {
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	return strings.Join(strings.Fields(string(data))[:3], " ")
}

func system(ctx context.Context, pl *plan) string {
	if out, err := pl.tool(ctx, ".", "uname", "-srm"); err == nil {
		return out
	}
	return runtime.GOOS + " " + runtime.GOARCH
}

// fileSystem is the kind of the file system of the temporary files, on which the benchmarks work.
func fileSystem(ctx context.Context, pl *plan) string {
	if out, err := pl.tool(ctx, ".", "findmnt", "-n", "-o", "FSTYPE", "-T", os.TempDir()); err == nil {
		return out
	}
	return ""
}

// peers are the modules that the nested one names, with their versions.
func (pl *plan) peers(ctx context.Context, root string) string {
	out, err := pl.tool(ctx, filepath.Join(root, "bench"), "go", "mod", "edit", "-json")
	if err != nil {
		return ""
	}
	var mod struct {
		Require []struct {
			Path, Version string
			Indirect      bool
		}
	}
	if err := json.Unmarshal([]byte(out), &mod); err != nil {
		return ""
	}
	var all []string
	for _, r := range mod.Require {
		if !r.Indirect && r.Path != modulePath {
			all = append(all, r.Path+" "+r.Version)
		}
	}
	return strings.Join(all, ", ")
}

func (pl *plan) django(ctx context.Context, root string) string {
	for _, python := range []string{"python3", "/usr/bin/python3"} { // Debian's has Debian's Django, where python3 may be another
		if out, err := pl.tool(ctx, filepath.Join(root, "bench"), python, "django/bench.py", "--version"); err == nil {
			return out
		}
	}
	return "is not installed here"
}
