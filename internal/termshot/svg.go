package main

import (
	"encoding/xml"
	"fmt"
	"strings"
)

// Measures of a picture, in pixels.
const (
	cellWidth  = 8.2
	lineHeight = 20
	margin     = 20
	titleBar   = 38
	fontSize   = 13.5
)

// css has the colours for light and dark surroundings. Lines appear one after the other, unless people asked for rest.
const css = `
  :root{--back:#fbfbfd;--bar:#eceef2;--edge:#d5d9e0;--text:#24292f;--dim:#6b7380;--red:#c0262d;--green:#11733c;--yellow:#8a5a00;--blue:#0b57c2;--prompt:#7a3db8}
  @media(prefers-color-scheme:dark){:root{--back:#14171c;--bar:#1f242c;--edge:#323945;--text:#dfe4ea;--dim:#8b94a3;--red:#ff7b72;--green:#57d27a;--yellow:#e3b341;--blue:#79b8ff;--prompt:#c79bff}}
  .w{fill:var(--back);stroke:var(--edge)}.b{fill:var(--bar)}.t{fill:var(--dim);font:600 12px ui-sans-serif,system-ui,sans-serif}
  text{white-space:pre}.l{fill:var(--text);font:13.5px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono","Liberation Mono",monospace}
  .bold,.cmd{font-weight:600}.red{fill:var(--red)}.green{fill:var(--green)}.yellow{fill:var(--yellow)}.blue{fill:var(--blue)}.prompt{fill:var(--prompt)}
  @media(prefers-reduced-motion:no-preference){.l{animation:show .25s ease-out backwards}@keyframes show{from{opacity:0;transform:translateY(3px)}}}
`

// svg draws a screen in a window.
func (s *screen) svg(title string, delays []float64) string {
	rows := s.rows
	for len(rows) > 0 && len(rows[len(rows)-1]) == 0 {
		rows = rows[:len(rows)-1]
	}
	width := int(float64(s.width)*cellWidth) + 2*margin
	height := titleBar + margin/2 + len(rows)*lineHeight + margin/2 + 4
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-label="%s">`+"\n", width, height, width, height, escape(title))
	fmt.Fprintf(&b, "<title>%s</title>\n<style>%s</style>\n", escape(title), css)
	fmt.Fprintf(&b, `<rect class="w" x=".5" y=".5" width="%d" height="%d" rx="10"/>`+"\n", width-1, height-1)
	fmt.Fprintf(&b, `<path class="b" d="M1 %dV11a10 10 0 0 1 10-10H%da10 10 0 0 1 10 10V%dZ"/>`+"\n", titleBar-6, width-11, titleBar-6)
	for i, colour := range []string{"#ff5f57", "#febc2e", "#28c840"} {
		fmt.Fprintf(&b, `<circle cx="%d" cy="16.5" r="5.5" fill="%s"/>`, 20+19*i, colour)
	}
	fmt.Fprintf(&b, "\n"+`<text class="t" x="%d" y="20.5" text-anchor="middle">%s</text>`+"\n", width/2, escape(title))
	for i, row := range rows {
		if len(row) == 0 {
			continue
		}
		y := titleBar + margin/2 + i*lineHeight + 10
		fmt.Fprintf(&b, `<text class="l" y="%d" style="animation-delay:%.2fs">`, y, delays[min(i, len(delays)-1)])
		for _, run := range runs(row) {
			x := margin + float64(run.from)*cellWidth
			class := ""
			if c := run.style.class(); c != "" {
				class = fmt.Sprintf(` class="%s"`, c)
			}
			fmt.Fprintf(&b, `<tspan x="%.1f" textLength="%.1f" lengthAdjust="spacingAndGlyphs"%s>%s</tspan>`, x, float64(run.cells)*cellWidth, class, escape(run.text))
		}
		b.WriteString("</text>\n")
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func (s style) class() string {
	var classes []string
	if s.colour != "" {
		classes = append(classes, s.colour)
	}
	if s.bold {
		classes = append(classes, "bold")
	}
	return strings.Join(classes, " ")
}

// A run is part of a row in one style.
type run struct {
	from, cells int
	style       style
	text        string
}

// runs divides a row where the style changes, and where columns are set apart, so that they stand below each other in every font.
func runs(row []cell) []run {
	var out []run
	for i := 0; i < len(row); {
		if row[i].r == ' ' {
			i++
			continue
		}
		r := run{from: i, style: row[i].style}
		var text strings.Builder
		for i < len(row) && row[i].style == r.style && !(row[i].r == ' ' && (i+1 == len(row) || row[i+1].r == ' ')) {
			text.WriteRune(row[i].r)
			i++
		}
		r.cells, r.text = i-r.from, text.String()
		out = append(out, r)
	}
	return out
}

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder does not fail
	return b.String()
}
