package cli

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

// A stuckFront opens nothing, like a pipe with a name that nobody writes to.
type stuckFront struct {
	front
	asked, free chan struct{}
}

func (f *stuckFront) Open(string, int64) (io.ReadCloser, int64, error) {
	close(f.asked)
	<-f.free
	return nil, 0, errors.New("given up")
}

// TestInputInterrupted: the interrupt key ends a command whose input cannot be opened yet.
func TestInputInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f := &stuckFront{asked: make(chan struct{}), free: make(chan struct{})}
	defer close(f.free)
	go func() {
		<-f.asked
		cancel()
	}()
	if _, _, err := (&tree{front: f}).input(ctx, "fifo", t.TempDir(), 0); !errors.Is(err, errInterrupted) {
		t.Errorf("input: %v", err)
	}
}

// TestReadSecret: of what comes with a secret one end of a line is no part of it, also where lines end with CR LF.
func TestReadSecret(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "\n": "", "\r\n": "", "pass": "pass", "pass\n": "pass", "pass\r\n": "pass",
		"pass\r": "pass\r", "pass\n\n": "pass\n", "pass\r\n\r\n": "pass\r\n", "a\r\nb\x00 \r\n": "a\r\nb\x00 ",
	} {
		if got, err := readSecret(strings.NewReader(in)); err != nil || got != want {
			t.Errorf("readSecret of %q is %q, %v; want %q", in, got, err, want)
		}
	}
}
