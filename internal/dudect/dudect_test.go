package dudect

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestWelch(t *testing.T) {
	// Worked by hand: means 3 and 5, variances 2.5 and 10, five samples each.
	got := welch([]float64{1, 2, 3, 4, 5}, []float64{1, 3, 5, 7, 9})
	if want := -2 / math.Sqrt(2.5/5+10/5.); math.Abs(got-want) > 1e-12 {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := welch([]float64{1, 1}, []float64{1, 1}); got != 0 {
		t.Errorf("the same: got %v", got)
	}
	if got := welch([]float64{2, 2}, []float64{1, 1}); !math.IsInf(got, 1) {
		t.Errorf("without spread: got %v", got)
	}
}

// What is drawn from one distribution is told apart rarely; a shift of a tenth of the spread nearly always in 20,000 samples.
func TestNoise(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	draw := func(n int, shift float64) []float64 {
		v := make([]float64, n)
		for i := range v {
			v[i] = 100 + shift + 10*rng.NormFloat64()
		}
		return v
	}
	same, shifted := 0, 0
	for range 100 {
		if math.Abs(strongest(draw(1000, 0), draw(1000, 0))) >= MaxT {
			same++
		}
		if math.Abs(strongest(draw(20_000, 1), draw(20_000, 0))) >= MaxT {
			shifted++
		}
	}
	if same > 1 || shifted < 95 {
		t.Errorf("of 100, told apart: %d of the same, %d of shifted", same, shifted)
	}
}

func TestCropAndMedian(t *testing.T) {
	a, b := crop([]float64{1, 2, 3, 4, 1000}, []float64{1, 2, 3, 4, 5}, 0.9)
	if slices.Contains(a, 1000) || len(a) != 4 || len(b) != 5 {
		t.Errorf("got %v, %v", a, b)
	}
	if got := median([]float64{5, 1, 3}); got != 3 {
		t.Errorf("median: got %v", got)
	}
	if got := median([]float64{4, 1, 3, 2}); got != 2.5 {
		t.Errorf("median of four: got %v", got)
	}
}

// A class that does a little more is found, one that does the same is not, and each runs as often as it should.
func TestCompare(t *testing.T) {
	var n [3]int
	sink := 0
	work := func(rounds int) {
		for i := range rounds {
			sink += i * i
		}
	}
	rs := Compare([]Class{
		{Name: "first", Do: func() { n[0]++; work(20_000) }},
		{Name: "more", Do: func() { n[1]++; work(60_000) }},
		{Name: "between", Do: func() { n[2]++; work(20_000) }, Between: func() { work(60_000) }},
	}, 400, 1)
	if n != [3]int{420, 420, 420} {
		t.Errorf("runs: %v", n)
	}
	if !slices.Contains(rs.Told(), "more") || !slices.Contains(rs.Apart(0.5), "more") {
		t.Errorf("three times the work is not noticed:%v", rs)
	}
	if slices.Contains(rs.Apart(0.9), "between") {
		t.Errorf("what is between is timed:%v", rs)
	}
}
