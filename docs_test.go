package latchbolt_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// sources returns the files of the repository with an ending, outside testdata.
func sources(t testing.TB, ending string) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && path != ".") {
			return filepath.SkipDir
		}
		if !d.IsDir() && strings.HasSuffix(path, ending) {
			paths = append(paths, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) == 0 {
		t.Fatalf("no file ends in %q", ending)
	}
	return paths
}

var (
	linkInDocs = regexp.MustCompile(`\]\(([^)#\s]+)(#[^)]*)?\)`)
	testInDocs = regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Za-z0-9_]+)`")
	fileInDocs = regexp.MustCompile("`((?:internal/|interop/|examples/|docs/|testdata/)?[a-z_/]+\\.(?:go|md|db))`")
)

// TestDocs makes sure that the documents lead to files and name tests that exist.
func TestDocs(t *testing.T) {
	var code strings.Builder
	for _, path := range sources(t, "_test.go") {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		code.Write(data)
	}
	links, names := 0, 0
	for _, path := range sources(t, ".md") {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range linkInDocs.FindAllStringSubmatch(string(data), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			links++
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), m[1])); err != nil {
				t.Errorf("%s: dead link %s", path, m[1])
			}
		}
		for _, m := range testInDocs.FindAllStringSubmatch(string(data), -1) {
			names++
			if !strings.Contains(code.String(), "func "+m[1]+"(") {
				t.Errorf("%s: no test is called %s", path, m[1])
			}
		}
		for _, m := range fileInDocs.FindAllStringSubmatch(string(data), -1) {
			names++
			_, inRoot := os.Stat(m[1])
			_, beside := os.Stat(filepath.Join(filepath.Dir(path), m[1]))
			if inRoot != nil && beside != nil && m[1] != "app.db" {
				t.Errorf("%s: there is no file %s", path, m[1])
			}
		}
	}
	if links < 5 || names < 10 {
		t.Errorf("only %d links and %d names were found: the check does not look right", links, names)
	}
}

// TestREADMEProgram builds the program of the README and compares what it prints.
func TestREADMEProgram(t *testing.T) {
	data, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```(go)?\n(.*?)```").FindAllStringSubmatch(string(data), 2)
	if len(blocks) != 2 || blocks[0][1] != "go" {
		t.Fatal("README.md does not begin with a program and its output")
	}
	// Inside the module, so that it is built with this very source.
	dir, err := os.MkdirTemp("examples", "readme-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(blocks[0][2]), 0o600); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "readme")
	if out, err := exec.Command("go", "build", "-o", program, "./"+dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.Command(program)
	cmd.Dir = t.TempDir()
	got, err := cmd.CombinedOutput()
	if err != nil || string(got) != blocks[1][2] {
		t.Errorf("got %q, %v; README.md says %q", got, err, blocks[1][2])
	}
}
