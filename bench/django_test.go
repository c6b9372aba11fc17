package bench

import (
	"bufio"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// A djangoProcess runs django/bench.py, which does what it is told by lines.
type djangoProcess struct {
	t   testing.TB
	in  io.Writer
	out *bufio.Reader
}

// python is the interpreter that has Django: Debian's, where python3 may be another one.
func python() (path string, err error) {
	for _, path = range []string{"python3", "/usr/bin/python3"} {
		if err = exec.Command(path, "django/bench.py", "--version").Run(); err == nil {
			return path, nil
		}
	}
	return "", err
}

// startDjango skips the benchmark where there is no Django.
func startDjango(t testing.TB) *djangoProcess {
	t.Helper()
	path, err := python()
	if err != nil {
		t.Skip("Django is not installed here")
	}
	script, err := filepath.Abs("django/bench.py")
	check(t, err)
	cmd := exec.Command(path, "-W", "ignore", script, t.TempDir())
	in, err := cmd.StdinPipe()
	check(t, err)
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	t.Cleanup(func() {
		in.Close()
		check(t, cmd.Wait())
	})
	return &djangoProcess{t, in, bufio.NewReader(out)}
}

// ask sends a line and returns what comes back behind "ok".
func (d *djangoProcess) ask(format string, args ...any) string {
	d.t.Helper()
	_, err := fmt.Fprintf(d.in, format+"\n", args...)
	check(d.t, err)
	line, err := d.out.ReadString('\n')
	check(d.t, err)
	answer, ok := strings.CutPrefix(strings.TrimSpace(line), "ok ")
	if !ok {
		d.t.Fatalf("django: %s", line)
	}
	return answer
}

// nanoseconds asks for something that answers with a time, or another number.
func (d *djangoProcess) nanoseconds(format string, args ...any) float64 {
	d.t.Helper()
	v, err := strconv.ParseFloat(d.ask(format, args...), 64)
	check(d.t, err)
	return v
}

// besideDjango is beside for something that measures itself: the way to it is no part of what it takes.
func besideDjango(b *testing.B, n int, d *djangoProcess, verb string, latchbolt side) {
	b.Helper()
	d.nanoseconds("%s %d", verb, n)
	ownN := batch(latchbolt, 1)
	var peers, owns, ratios []float64
	for b.Loop() {
		p, o := d.nanoseconds("%s %d", verb, n)/float64(n), timed(latchbolt, ownN)
		peers, owns, ratios = append(peers, p), append(owns, o), append(ratios, p/o)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(peers), "ns/call")
	b.ReportMetric(median(owns), "latchbolt-ns/call")
	b.ReportMetric(median(ratios), "x-latchbolt")
}
