//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
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
