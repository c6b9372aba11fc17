package latchbolt_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/latchbolt-go/latchbolt"
)

// TestClosedInOrder: a file is in order when it was closed in order, also if a killed program left it and nothing was written
// in between: then it opens at once, and what is salvaged from it is proven to be its newest state. TestModel found that it was not.
func TestClosedInOrder(t *testing.T) {
	for what, use := range map[string]func(eng *latchbolt.Engine){
		"nothing": func(*latchbolt.Engine) {},
		"compact": func(eng *latchbolt.Engine) {
			_, _, err := eng.Compact(t.Context())
			must(t, "compacting", err)
		},
		"load": func(eng *latchbolt.Engine) {
			must(t, "loading", eng.Load(t.Context(), latchbolt.LoadOptions{}, func(l *latchbolt.Loader) error {
				return l.InsertUser(&latchbolt.User{Username: "grace"}, latchbolt.PasswordHash{})
			}))
		},
	} {
		dir := fastDir(t)
		eng := openAt(t, filepath.Join(dir, "app.db"), nil)
		addUser(t, eng, "ada")
		left, err := os.ReadFile(eng.Path())
		must(t, "reading", err)
		killed := filepath.Join(dir, "killed.db")
		must(t, "writing", os.WriteFile(killed, left, 0o600))
		again := openAt(t, killed, nil)
		use(again)
		must(t, "closing", again.Close())
		report, err := latchbolt.Salvage(t.Context(), killed, filepath.Join(dir, "saved.db"), nil)
		if err != nil || report.Doubt != "" || len(report.Findings) != 0 {
			t.Errorf("%s: got %v, doubt %q, findings %v", what, err, report.Doubt, report.Findings)
		}
	}
}
