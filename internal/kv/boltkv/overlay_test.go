package boltkv

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestOverlayModel holds an overlay that grew large against a map, with keys in any
// order, replaced, deleted and cleared.
func TestOverlayModel(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var o overlay
	model := make(map[string]string)
	for i := range 20_000 {
		key := fmt.Sprintf("%05d", rnd.IntN(10_000))
		switch n := rnd.IntN(1000); {
		case n == 0:
			prefix := key[:3]
			o.clear(span{[]byte(prefix), after([]byte(prefix))})
			maps.DeleteFunc(model, func(k, _ string) bool { return k[:3] == prefix })
		case n == 1:
			o.search([]byte(key))
		case n < 100:
			o.set(entry{key: []byte(key), gone: true})
			model[key] = "gone"
		default:
			value := fmt.Sprint(i)
			o.set(entry{key: []byte(key), value: []byte(value)})
			model[key] = value
		}
		probe := fmt.Sprintf("%05d", rnd.IntN(10_000))
		if got, want := text(o.find([]byte(probe))), model[probe]; got != want {
			t.Fatalf("step %d: %s is %q, want %q", i, probe, got, want)
		}
	}
	o.settle()
	if len(o.late) != 0 || !slices.IsSortedFunc(o.entries, func(a, b entry) int { return bytes.Compare(a.key, b.key) }) {
		t.Fatal("entries are not in order")
	}
	if len(o.entries) != len(model) {
		t.Fatalf("%d entries, want %d", len(o.entries), len(model))
	}
	for _, e := range o.entries {
		if got, want := text(&e), model[string(e.key)]; got != want {
			t.Errorf("%s is %q, want %q", e.key, got, want)
		}
	}
}

func text(e *entry) string {
	switch {
	case e == nil:
		return ""
	case e.gone:
		return "gone"
	}
	return string(e.value)
}
