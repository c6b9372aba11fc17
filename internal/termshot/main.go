// Command termshot runs the real latchbolt in a terminal of its own, through lines that are typed at it, and draws what
// stands on the screen then as the pictures docs/term-*.svg of the README:
//
//	go run ./internal/termshot
//
// It is run in the root folder of the repository. What differs from run to run, such as times and identifiers, is replaced, so that the
// pictures change only when the program does; a test compares them.
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

func main() {
	if err := writeAll(context.Background(), "."); err != nil {
		fmt.Fprintln(os.Stderr, "termshot:", err)
		os.Exit(1)
	}
}

// writeAll draws all pictures into the docs folder of the repository at root.
func writeAll(ctx context.Context, root string) error {
	shots, err := drawAll(ctx, root)
	if err != nil {
		return err
	}
	for name, svg := range shots {
		if err := os.WriteFile(filepath.Join(root, "docs", name), []byte(svg), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// drawAll returns the pictures by the names of their files.
func drawAll(ctx context.Context, root string) (map[string]string, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	bin, err := os.MkdirTemp("", "termshot")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(bin) }()
	build := exec.CommandContext(ctx, "go", "build", "-o", bin, "./cmd/latchbolt")
	build.Dir, build.Stderr = root, os.Stderr
	if err := build.Run(); err != nil {
		return nil, fmt.Errorf("building latchbolt: %w", err)
	}
	shots := make(map[string]string)
	for _, s := range sessions {
		svg, err := s.draw(ctx, bin, root)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		shots[s.name] = svg
	}
	return shots, nil
}
