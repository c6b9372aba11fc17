//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// An interrupter ends a context when something is written to it, and keeps that.
type interrupter struct {
	end  func()
	text strings.Builder
}

func (i *interrupter) Write(b []byte) (int, error) {
	defer i.end()
	return i.text.Write(b)
}

// TestInterrupt ends a step whose command has started another process: neither is left.
func TestInterrupt(t *testing.T) {
	ctx, end := context.WithCancel(t.Context())
	out := &interrupter{end: end}
	s := &step{name: "x", args: []string{"sh", "-c", "sleep 600 & echo 'ok  \t'$!; wait"}, pkg: "./pkg"}
	res := s.run(ctx, ".", out)
	if res.verdict() != "FAILED" || res.took > time.Minute {
		t.Errorf("%s after %v", res.verdict(), res.took)
	}
	pid := 0
	if _, err := fmt.Sscanf(out.text.String(), "ok %d", &pid); err != nil || pid < 2 {
		t.Fatalf("%q: %v", out.text.String(), err)
	}
	for end := time.Now().Add(20 * time.Second); ; {
		if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) {
			return
		}
		if time.Now().After(end) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			t.Fatal("what the command had started goes on")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestAtOnce: two fuzz targets run at one time, as each of these waits for the other; what they print does not mix, and any other step is alone.
func TestAtOnce(t *testing.T) {
	dir := t.TempDir()
	meet := func(mine, other string) []string {
		return []string{"sh", "-c", fmt.Sprintf(`echo "ok	%s begins"; touch %s; for i in $(seq 500); do [ -e %s ] && echo "ok	%s ends" && exit 0; sleep 0.02; done; exit 1`, mine, mine, other, mine)}
	}
	all := []*step{
		{name: "alone", args: []string{"true"}},
		{name: "first", fuzz: "FuzzA", args: meet("a", "b")},
		{name: "second", fuzz: "FuzzB", args: meet("b", "a")},
		{name: "third", fuzz: "FuzzC", args: []string{"true"}},
	}
	var got []string
	var out strings.Builder
	for left := all; len(left) > 0; {
		now := atOnce(left)
		for _, res := range runAll(t.Context(), dir, now, &out) {
			got = append(got, fmt.Sprint(len(now), " ", res.name, " ", res.verdict()))
		}
		left = left[len(now):]
	}
	if want := []string{"1 alone passed", "2 first passed", "2 second passed", "1 third passed"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if !strings.Contains(out.String(), "a begins\nok\ta ends\nfirst: passed") || !strings.Contains(out.String(), "b begins\nok\tb ends\nsecond: passed") {
		t.Errorf("the output is %q", out.String())
	}
}
