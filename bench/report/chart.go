package main

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
)

// A chart shows cost against size, both on logarithmic scales: a straight horizontal line does not grow, and a line that climbs as
// steeply as the grid is proportional to the size.
type chart struct {
	title, x, y string
	format      func(float64) string // of values of the y axis
	lines       []line
}

// A line is one series. The first of a chart is drawn thickest.
type line struct {
	label  string
	points []point
}

// A point is a median with the span of all rounds.
type point struct{ x, y, low, high float64 }

// Sizes of a picture, in pixels.
const (
	chartWidth, chartHeight      = 820, 450
	plotLeft, plotTop            = 78, 68
	plotWidth, plotHeight        = 510, 316
	labelLeft                    = plotLeft + plotWidth + 14
	labelHeight, smallestDecades = 17, 1.0
)

// style has the colours for light and dark surroundings. They differ in lightness too, and each line has a mark of its own shape.
const style = `
.bg{fill:#ffffff}.ink{fill:#1c2128}.dim{fill:#59636e}.grid{stroke:#d9dee3}.axis{stroke:#59636e}
text{font:13px system-ui,-apple-system,"Segoe UI",sans-serif}.title{font-size:16px;font-weight:600}
.c0{--c:#0b5fc4}.c1{--c:#c2410c}.c2{--c:#1a7f4b}.c3{--c:#8a3ffc}.c4{--c:#9a6700}.c5{--c:#b3246e}.c6{--c:#4b5a68}.c7{--c:#0e7490}
.l{stroke:var(--c);fill:none;stroke-width:1.8}.l0{stroke-width:3.2}.m{fill:var(--c);stroke:none}.s{stroke:var(--c);stroke-width:1.2}.t{fill:var(--c)}
@media (prefers-color-scheme:dark){
.bg{fill:#0d1117}.ink{fill:#e6edf3}.dim{fill:#9aa5b1}.grid{stroke:#2b323b}.axis{stroke:#9aa5b1}
.c0{--c:#6cb6ff}.c1{--c:#f69d50}.c2{--c:#57d18c}.c3{--c:#c8a2ff}.c4{--c:#e3b341}.c5{--c:#ff8ac0}.c6{--c:#b4c0cc}.c7{--c:#5fd3e6}}
`

// svg draws the chart. The text alternative gives the ends of each line, for those who do not see it.
func (c *chart) svg() string {
	x, y := c.axes()
	px := func(v float64) float64 { return plotLeft + plotWidth*x.at(v) }
	py := func(v float64) float64 { return plotTop + plotHeight*(1-y.at(v)) }
	var b strings.Builder
	pr := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	pr(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-labelledby="t d">`, chartWidth, chartHeight, chartWidth, chartHeight)
	pr(`<title id="t">%s</title><desc id="d">%s</desc><style>%s</style>`, html.EscapeString(c.title), html.EscapeString(c.inWords()), style)
	pr(`<rect class="bg" width="100%%" height="100%%" rx="6"/><text class="title ink" x="20" y="28">%s</text>`, html.EscapeString(c.title))
	for _, v := range y.decades() {
		pr(`<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/><text class="dim" x="%d" y="%.1f" text-anchor="end">%s</text>`,
			plotLeft, plotLeft+plotWidth, py(v), py(v), plotLeft-8, py(v)+4, html.EscapeString(whole(c.format(v))))
	}
	for _, v := range x.decades() {
		pr(`<line class="grid" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/><text class="dim" x="%.1f" y="%d" text-anchor="middle">%s</text>`,
			px(v), px(v), plotTop, plotTop+plotHeight, px(v), plotTop+plotHeight+20, thousands(v))
	}
	pr(`<line class="axis" x1="%d" x2="%d" y1="%d" y2="%d"/>`, plotLeft, plotLeft+plotWidth, plotTop+plotHeight, plotTop+plotHeight)
	pr(`<text class="dim" x="%d" y="%d" text-anchor="middle">%s</text><text class="dim" x="20" y="48">%s</text>`,
		plotLeft+plotWidth/2, plotTop+plotHeight+44, html.EscapeString(c.x), html.EscapeString(c.y))
	labels := c.labels(py)
	for i, l := range c.lines {
		c.drawLine(pr, i, l, px, py)
		pr(`<path class="m c%d" d="%s"/><text class="t c%d" x="%d" y="%.1f">%s</text>`,
			i%8, mark(i, labelLeft+5, labels[i]), i%8, labelLeft+15, labels[i]+4, html.EscapeString(l.label))
	}
	pr(`</svg>`)
	return b.String()
}

func (c *chart) drawLine(pr func(string, ...any), i int, l line, px, py func(float64) float64) {
	var path strings.Builder
	for j, p := range l.points {
		fmt.Fprintf(&path, "%c%.1f %.1f", "ML"[min(j, 1)], px(p.x), py(p.y))
	}
	thick := ""
	if i == 0 {
		thick = " l0"
	}
	pr(`<path class="l c%d%s" d="%s"/>`, i%8, thick, path.String())
	for _, p := range l.points {
		pr(`<line class="s c%d" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/><path class="m c%d" d="%s"/>`,
			i%8, px(p.x), px(p.x), py(p.low), py(p.high), i%8, mark(i, px(p.x), py(p.y)))
	}
}

// mark is the outline of the mark of a line: disc, square, triangle, diamond.
func mark(i int, x, y float64) string {
	switch i % 4 {
	case 0:
		return fmt.Sprintf("M%.1f %.1fa4.2 4.2 0 1 0 8.4 0a4.2 4.2 0 1 0 -8.4 0z", x-4.2, y)
	case 1:
		return fmt.Sprintf("M%.1f %.1fh7v7h-7z", x-3.5, y-3.5)
	case 2:
		return fmt.Sprintf("M%.1f %.1fl4.6 8h-9.2z", x, y-4.8)
	}
	return fmt.Sprintf("M%.1f %.1fl4.6 4.6l-4.6 4.6l-4.6 -4.6z", x, y-4.6)
}

// labels says at which height the name of each line stands: at its right end, pushed apart where they would overlap.
func (c *chart) labels(py func(float64) float64) []float64 {
	at := make([]float64, len(c.lines))
	order := make([]int, len(c.lines))
	for i, l := range c.lines {
		order[i], at[i] = i, py(l.points[len(l.points)-1].y)
	}
	slices.SortFunc(order, func(a, b int) int { return int(math.Copysign(1, at[a]-at[b])) })
	for i := 1; i < len(order); i++ {
		at[order[i]] = max(at[order[i]], at[order[i-1]]+labelHeight)
	}
	if over := at[order[len(order)-1]] - (plotTop + plotHeight); over > 0 {
		limit := float64(plotTop + plotHeight)
		for i := len(order) - 1; i >= 0; i-- {
			at[order[i]] = min(at[order[i]], limit)
			limit = at[order[i]] - labelHeight
		}
	}
	return at
}

func (c *chart) inWords() string {
	var parts []string
	for _, l := range c.lines {
		first, last := l.points[0], l.points[len(l.points)-1]
		parts = append(parts, fmt.Sprintf("%s: %s at %s, %s at %s", l.label, c.format(first.y), thousands(first.x), c.format(last.y), thousands(last.x)))
	}
	return fmt.Sprintf("%s against %s. %s.", c.y, c.x, strings.Join(parts, "; "))
}

// An axis is a logarithmic scale between two powers of ten.
type axis struct{ low, high float64 }

func (a axis) at(v float64) float64 { return (math.Log10(v) - a.low) / (a.high - a.low) }

func (a axis) decades() (all []float64) {
	for e := math.Ceil(a.low); e <= a.high+1e-9; e++ {
		all = append(all, math.Pow(10, e))
	}
	return all
}

func (c *chart) axes() (x, y axis) {
	lowX, highX, lowY, highY := math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
	for _, l := range c.lines {
		for _, p := range l.points {
			lowX, highX = min(lowX, p.x), max(highX, p.x)
			lowY, highY = min(lowY, p.low), max(highY, p.high)
		}
	}
	x = axis{math.Log10(lowX), math.Log10(highX)}
	if x.high-x.low < smallestDecades {
		x.low, x.high = math.Floor(x.low), math.Floor(x.low)+1
	}
	y = axis{math.Floor(math.Log10(lowY)), math.Ceil(math.Log10(highY))}
	if y.high-y.low < smallestDecades {
		y.high = y.low + 1
	}
	return x, y
}
