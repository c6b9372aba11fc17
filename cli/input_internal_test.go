package cli

import (
	"context"
	"errors"
	"io"
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
