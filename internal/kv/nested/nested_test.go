package nested

import "testing"

type closure func() error

func (c closure) Run() error { return c() }

// TestReturnsDiffer guards against a compiler that folds equal functions.
func TestReturnsDiffer(t *testing.T) {
	seen := map[uintptr]int{}
	for i, pc := range returns {
		if pc == 0 {
			t.Errorf("enter%d: no return address", i)
		}
		if j, ok := seen[pc]; ok {
			t.Errorf("enter%d and enter%d return to the same address", i, j)
		}
		seen[pc] = i
	}
}

func TestInside(t *testing.T) {
	a, b := New(), New()
	if a.Inside() {
		t.Error("inside before any call")
	}
	_ = a.Call(closure(func() error {
		if !a.Inside() || b.Inside() {
			t.Errorf("in a: a.Inside %v, b.Inside %v", a.Inside(), b.Inside())
		}
		var deep func(n int)
		deep = func(n int) {
			if n > 0 {
				deep(n - 1)
				return
			}
			if !a.Inside() || b.Inside() {
				t.Errorf("deep in a: a.Inside %v, b.Inside %v", a.Inside(), b.Inside())
			}
			_ = b.Call(closure(func() error {
				if !a.Inside() || !b.Inside() {
					t.Error("in b in a: one is not seen")
				}
				return nil
			}))
		}
		deep(300)
		other := make(chan bool)
		go func() { other <- a.Inside() }()
		if <-other {
			t.Error("another goroutine is taken for inside")
		}
		return nil
	}))
	if a.Inside() {
		t.Error("inside after the call")
	}
}
