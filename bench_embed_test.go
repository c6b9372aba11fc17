package latchbolt_test

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"testing"
)

// BenchmarkEmbedded builds programs with and without the engine and starts them. Beside an empty program everything counts
// that the engine needs, reflection and package fmt included; beside a server of net/http what such a server does not have
// already. Sizes are those of stripped files, as programs are released (-trimpath -ldflags '-s -w'), and of files with all that a
// debugger needs. Memory is what the system counts as resident after the file was made and opened.
func BenchmarkEmbedded(b *testing.B) {
	if runtime.GOOS != "linux" {
		b.Skip("memory is read from /proc")
	}
	for _, c := range []struct{ name, without, with string }{
		{"empty", "empty", "engine"},
		{"net/http", "server", "serverengine"},
	} {
		b.Run(c.name, func(b *testing.B) {
			const strip = "-s -w"
			without, with := buildProgram(b, c.without, strip), buildProgram(b, c.with, strip)
			full, fullWith := buildProgram(b, c.without, ""), buildProgram(b, c.with, "")
			var rss, anon []float64
			for b.Loop() {
				r0, a0 := resident(b, without)
				r1, a1 := resident(b, with)
				rss, anon = append(rss, r1-r0), append(anon, a1-a0)
			}
			slices.Sort(rss)
			slices.Sort(anon)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(megabytes(b, with)-megabytes(b, without), "MB")
			b.ReportMetric(megabytes(b, fullWith)-megabytes(b, full), "unstripped-MB")
			b.ReportMetric(rss[len(rss)/2], "rss-MiB")
			b.ReportMetric(anon[len(anon)/2], "private-MiB")
		})
	}
}

func buildProgram(b *testing.B, name, ldflags string) string {
	b.Helper()
	out := filepath.Join(b.TempDir(), name)
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", ldflags, "-o", out, "./internal/embedcost/"+name)
	if text, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v: %v\n%s", cmd, err, text)
	}
	return out
}

func megabytes(b *testing.B, path string) float64 {
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	return float64(info.Size()) / 1e6
}

// resident starts a program and returns how much memory it has when it is ready, in MiB: all, and what is not of a file.
func resident(b *testing.B, program string) (rss, anon float64) {
	b.Helper()
	cmd := exec.Command(program, filepath.Join(b.TempDir(), "app.db"))
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		_ = stdin.Close()
		if err := cmd.Wait(); err != nil {
			b.Errorf("%s: %v", program, err)
		}
	}()
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || line != "ready\n" {
		b.Fatalf("%s said %q, %v", program, line, err)
	}
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(cmd.Process.Pid), "status"))
	if err != nil {
		b.Fatal(err)
	}
	return field(b, status, "VmRSS"), field(b, status, "RssAnon")
}

// field returns a number of kilobytes in /proc/<pid>/status, in MiB.
func field(b *testing.B, status []byte, name string) float64 {
	b.Helper()
	m := regexp.MustCompile(`(?m)^` + name + `:\s+(\d+) kB$`).FindSubmatch(status)
	if m == nil {
		b.Fatalf("no %s in %s", name, bytes.TrimSpace(status))
	}
	kb, err := strconv.Atoi(string(m[1]))
	if err != nil {
		b.Fatal(err)
	}
	return float64(kb) / 1024
}
