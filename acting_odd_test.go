package latchbolt_test

import (
	"math"
	"testing"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/authtest"
)

// TestOddLimits: numbers that make no sense end no program.
func TestOddLimits(t *testing.T) {
	ctx := t.Context()
	eng := authtest.New(t, nil)
	id, err := eng.Identity(ctx, authtest.Superuser(t, eng, "boss").ID)
	if err != nil {
		t.Fatal(err)
	}
	authtest.User(t, eng, "ada")
	admin := eng.As(id)
	for _, n := range []int{0, -1, math.MinInt} {
		page, _, more, err := admin.AuditPage(ctx, latchbolt.AuditQuery{}, n)
		if err != nil || len(page) != 1 || !more {
			t.Errorf("AuditPage with a limit of %d: %d entries, more %v, %v", n, len(page), more, err)
		}
		o, err := admin.Overview(ctx, n)
		if err != nil || len(o.Days) != 1 {
			t.Errorf("Overview of %d days: %v", n, err)
		}
	}
}
