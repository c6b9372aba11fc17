package strength_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/strength"
)

var _ latchbolt.Validator = strength.Validator{}

func TestValidator(t *testing.T) {
	ada := &latchbolt.User{Username: "ada.lovelace", FirstName: "Ada", LastName: "Lovelace", Email: "countess@analytical.example"}
	for _, c := range []struct {
		what, password string
		v              strength.Validator
		weak           bool
	}{
		{"nothing", "", strength.Validator{}, true},
		{"a common password", "Password1", strength.Validator{}, true},
		{"a common password in disguise", "p@ssw0rd", strength.Validator{}, true},
		{"a walk over the keyboard", "qwertyuiop", strength.Validator{}, true},
		{"one character many times", strings.Repeat("a", 100), strength.Validator{}, true},
		{"a date", "14.07.1989", strength.Validator{}, true},
		{"the user's names", "LovelaceAda1815", strength.Validator{}, true},
		{"parts of the address", "countessanalytical", strength.Validator{}, true},
		{"words of the site", "acmerockets", strength.Validator{Words: []string{"acme", "rockets"}}, true},
		{"four words", "correct horse battery staple", strength.Validator{}, false},
		{"random letters", "vgkwnxqzhtbp", strength.Validator{}, false},
		{"four words where the most is asked", "correct horse battery staple", strength.Validator{MinScore: 4}, false},
		{"little where little is asked", "zebrafinch", strength.Validator{MinScore: 1}, false},
		{"text beyond ASCII", "ein Möwenschrei über Ålesund", strength.Validator{}, false},
	} {
		err := c.v.Validate(c.password, ada)
		var fe *latchbolt.FieldError
		switch {
		case !c.weak && err != nil:
			t.Errorf("%s: %v", c.what, err)
		case c.weak && (!errors.As(err, &fe) || fe.Field != "password" || fe.Code != "password_too_weak"):
			t.Errorf("%s: %v, want password_too_weak", c.what, err)
		}
	}
	// The user makes the difference here.
	const password = "xqvzkwlf-jhgwpm"
	if err := (strength.Validator{}).Validate(password, nil); err != nil {
		t.Errorf("without a user: %v", err)
	}
	if err := (strength.Validator{}).Validate(password, &latchbolt.User{Username: "jhgwpm", FirstName: "Xqvzkwlf"}); err == nil {
		t.Error("made of the user's names, but accepted")
	}
}

func TestCheck(t *testing.T) {
	for score, ok := range map[int]bool{-1: false, 0: true, 1: true, 4: true, 5: false} {
		if err := (strength.Validator{MinScore: score}).Check(); (err == nil) != ok {
			t.Errorf("MinScore %d: %v", score, err)
		}
	}
}

// Only a prefix is looked at: what follows changes nothing, whatever it costs.
func TestOnlyTheBeginningCounts(t *testing.T) {
	head := strings.Repeat("a", strength.MaxBytes)
	want, err := strength.Estimate(head)
	if err != nil {
		t.Fatal(err)
	}
	for _, tail := range []string{"x", "\xff", strings.Repeat("4@8({[<", 1<<17)} {
		if got, err := strength.Estimate(head + tail); err != nil || got != want {
			t.Errorf("with a tail of %d bytes: %v, %v, want %v", len(tail), got, err, want)
		}
	}
	if _, err := strength.Estimate(strings.Repeat("é€𠀀", 1000)); err != nil {
		t.Error(err)
	}
}

// The bound is many times what the worst of these takes; without the limits they
// take minutes.
func TestWorstCasesEnd(t *testing.T) {
	long := make([]string, 10000)
	for i := range long {
		long[i] = fmt.Sprintf("word%d%s", i, strings.Repeat("x", i))
	}
	start := time.Now()
	for _, unit := range []string{"4@8({[<369!1|0$5+7%2", "1", "12", "qwerty", "password1", "1991-", "é", "\xff", "4@63"} {
		if _, err := strength.Estimate(strings.Repeat(unit, 1<<20/len(unit)), long...); err != nil {
			t.Errorf("%q: %v", unit, err)
		}
	}
	if d := time.Since(start); d > 20*time.Second {
		t.Errorf("took %v", d)
	}
}

func TestConcurrentEstimatesAgree(t *testing.T) {
	want, err := strength.Estimate("zebrafinch1815", "ada")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 5 {
				strength.Estimate(fmt.Sprint("other", i), "word")
				if got, err := strength.Estimate("zebrafinch1815", "ada"); err != nil || got != want {
					t.Errorf("%v, %v, want %v", got, err, want)
				}
			}
		})
	}
	wg.Wait()
}

func FuzzEstimate(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		b := make([]byte, r.IntN(40))
		for i := range b {
			b[i] = byte(r.UintN(256))
		}
		f.Add(string(b), string(b[len(b)/2:]))
	}
	f.Add("İİẞﬁ", "i̇")
	f.Fuzz(func(t *testing.T, password, word string) {
		got, err := strength.Estimate(password, word)
		if err != nil {
			t.Fatalf("%q: %v", password, err)
		}
		if got.Score < 0 || got.Score > 4 || !(got.Bits >= 0) {
			t.Errorf("%q: %+v", password, got)
		}
	})
}
