// Package dudect compares how long things take that must not be told apart, as in Reparaz, Balasch and Verbauwhede,
// "Dude, is my code constant time?" (2017): samples of all in turn, in random order, and Welch's t-test between each and the first.
package dudect

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// A Class is one of the things that are compared.
type Class struct {
	Name string
	// Do is what is timed.
	Do func()
	// Between runs after Do and is not timed. Nil does nothing.
	Between func()
}

// MaxT is the value of |t| from which on two classes are told apart.
const MaxT = 4.5

// A Result says how one class differs from the first.
type Result struct {
	Name   string
	T      float64       // Welch's t of what is left when the slow part is cut off: half of all, or a tenth, whichever tells more
	Median time.Duration // of all samples
	// Differs is the difference of the medians, as a part of that of the first class.
	Differs float64
}

// Results are those of all classes; the first is compared with itself.
type Results []Result

// Compare takes samples of every class, interleaved, after a few that do not count. The seed decides about their order.
func Compare(classes []Class, samples int, seed uint64) Results {
	rng := rand.New(rand.NewPCG(seed, 0))
	taken := make([][]float64, len(classes))
	order := make([]int, len(classes))
	for i := range order {
		order[i] = i
	}
	warm := max(samples/20, 2)
	for round := range warm + samples {
		rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for _, i := range order {
			began := time.Now()
			classes[i].Do()
			took := time.Since(began)
			if classes[i].Between != nil {
				classes[i].Between()
			}
			if round >= warm {
				taken[i] = append(taken[i], float64(took))
			}
		}
	}
	results := make(Results, len(classes))
	first := median(taken[0])
	for i, c := range classes {
		m := median(taken[i])
		results[i] = Result{Name: c.Name, T: strongest(taken[i], taken[0]), Median: time.Duration(m), Differs: (m - first) / first}
	}
	return results
}

// cutOffs are the parts of all samples that are kept: what takes longer was interrupted, which says nothing about the code.
var cutOffs = []float64{0.5, 0.9}

// strongest returns the t of the cut-off that tells a and b apart best.
func strongest(a, b []float64) (t float64) {
	for _, part := range cutOffs {
		if at := welch(crop(a, b, part)); math.Abs(at) > math.Abs(t) {
			t = at
		}
	}
	return t
}

// crop keeps what is among the lowest part of both.
func crop(a, b []float64, part float64) (_, _ []float64) {
	all := slices.Sorted(slices.Values(slices.Concat(a, b)))
	limit := all[int(math.Ceil(float64(len(all))*part))-1]
	above := func(v float64) bool { return v > limit }
	return slices.DeleteFunc(slices.Clone(a), above), slices.DeleteFunc(slices.Clone(b), above)
}

func welch(a, b []float64) float64 {
	ma, va := moments(a)
	mb, vb := moments(b)
	se := math.Sqrt(va/float64(len(a)) + vb/float64(len(b)))
	switch {
	case ma == mb:
		return 0
	case se == 0:
		return math.Copysign(math.Inf(1), ma-mb)
	}
	return (ma - mb) / se
}

// moments returns the mean and the variance.
func moments(v []float64) (mean, variance float64) {
	for _, x := range v {
		mean += x
	}
	mean /= float64(len(v))
	for _, x := range v {
		variance += (x - mean) * (x - mean)
	}
	return mean, variance / float64(max(len(v)-1, 1))
}

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// Told returns the classes whose |t| is above [MaxT].
func (rs Results) Told() (names []string) {
	for _, r := range rs {
		if math.Abs(r.T) >= MaxT {
			names = append(names, r.Name)
		}
	}
	return names
}

// Apart returns the classes whose median differs by more than a part of the first's.
func (rs Results) Apart(part float64) (names []string) {
	for _, r := range rs {
		if math.Abs(r.Differs) > part {
			names = append(names, r.Name)
		}
	}
	return names
}

// String is a table of all.
func (rs Results) String() string {
	var b strings.Builder
	for _, r := range rs {
		fmt.Fprintf(&b, "\n%-55s t %7.2f  median %10v  %+6.2f %%", r.Name, r.T, r.Median, 100*r.Differs)
	}
	return b.String()
}
