package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// thousands writes a whole number with commas.
func thousands(v float64) string {
	s := strconv.FormatFloat(math.Round(v), 'f', 0, 64)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// digits writes a number with three significant digits, or whole if it has more before the point.
func digits(v float64) string {
	switch a := math.Abs(v); {
	case a == 0:
		return "0"
	case a >= 100:
		return thousands(v)
	case a >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case a >= 0.01:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return strconv.FormatFloat(v, 'g', 2, 64)
}

// whole takes the decimals off a number that has none to show, as on an axis: "10.0 µs" becomes "10 µs".
func whole(s string) string {
	number, unit, _ := strings.Cut(s, " ")
	if strings.Contains(number, ".") {
		number = strings.TrimRight(strings.TrimRight(number, "0"), ".")
	}
	return number + " " + unit
}

// duration writes nanoseconds in the unit that fits.
func duration(ns float64) string {
	for _, u := range []struct {
		size float64
		name string
	}{{1e9, "s"}, {1e6, "ms"}, {1e3, "µs"}} {
		if ns >= u.size*0.9995 {
			return digits(ns/u.size) + " " + u.name
		}
	}
	return digits(ns) + " ns"
}

// size writes bytes in the unit that fits.
func size(n float64) string {
	for _, u := range []struct {
		size float64
		name string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= u.size {
			return digits(n/u.size) + " " + u.name
		}
	}
	return digits(n) + " B"
}

// decimalSize is for the marks of an axis, which stand at powers of ten.
func decimalSize(n float64) string {
	for _, u := range []struct {
		size float64
		name string
	}{{1e9, "GB"}, {1e6, "MB"}, {1e3, "kB"}} {
		if n >= u.size*0.9995 {
			return digits(n/u.size) + " " + u.name
		}
	}
	return digits(n) + " B"
}

// value writes a figure of a unit of Go's benchmarks.
func value(v float64, unit string) string {
	switch {
	case strings.HasSuffix(unit, "ns/op"), strings.HasSuffix(unit, "ns/call"), strings.HasSuffix(unit, "-ns"), strings.HasPrefix(unit, "ns/"):
		return duration(v)
	case strings.HasPrefix(unit, "x-"):
		return digits(v) + " ×"
	case unit == "B", strings.HasSuffix(unit, "-B"), strings.HasSuffix(unit, "B/op"), strings.HasSuffix(unit, "B/call"), strings.HasPrefix(unit, "B/"):
		return size(v)
	}
	return digits(v)
}

// span writes the least and the greatest of the rounds, if there were several.
func (f figure) span(unit string) string {
	if f.rounds < 2 {
		return ""
	}
	low, high := value(f.low, unit), value(f.high, unit)
	if low == high {
		return low
	}
	return fmt.Sprintf("%s … %s", low, high)
}
