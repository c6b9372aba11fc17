package main

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// A cell is one character of a screen.
type cell struct {
	r     rune
	style style
}

// A style is how a character looks. The zero style is plain.
type style struct {
	colour string // "", "red", "green", "yellow", "blue", "prompt"
	bold   bool
}

// A screen is as much of a terminal as the commands need: text, carriage return, erasing to the end of the line, a few colours. It has as many
// rows as are written.
type screen struct {
	width    int
	rows     [][]cell
	row, col int
	style    style
}

func newScreen(width int) *screen { return &screen{width: width, rows: make([][]cell, 1)} }

// write shows what a program wrote. What it does not know it shows as it is, so that it catches the eye.
func (s *screen) write(text string) {
	for text != "" {
		if rest, ok := strings.CutPrefix(text, "\x1b["); ok {
			if end := strings.IndexFunc(rest, func(r rune) bool { return r >= '@' && r <= '~' }); end >= 0 {
				s.control(rest[:end], rest[end])
				text = rest[end+1:]
				continue
			}
		}
		r, n := utf8.DecodeRuneInString(text)
		text = text[n:]
		switch r {
		case '\r':
			s.col = 0
		case '\n':
			s.newLine()
		case '\b':
			s.col = max(0, s.col-1)
		default:
			s.put(r)
		}
	}
}

func (s *screen) newLine() {
	s.row++
	s.col = 0
	if s.row == len(s.rows) {
		s.rows = append(s.rows, nil)
	}
}

func (s *screen) put(r rune) {
	if s.col == s.width {
		s.newLine()
	}
	line := s.rows[s.row]
	for len(line) <= s.col {
		line = append(line, cell{r: ' '})
	}
	line[s.col] = cell{r, s.style}
	s.rows[s.row] = line
	s.col++
}

// control does what a control sequence asks for.
func (s *screen) control(params string, final byte) {
	switch final {
	case 'K':
		if len(s.rows[s.row]) > s.col {
			s.rows[s.row] = s.rows[s.row][:s.col]
		}
	case 'm':
		for p := range strings.SplitSeq(params, ";") {
			n, _ := strconv.Atoi(p) // none is 0
			s.sgr(n)
		}
	default:
		s.write("\\e[" + params + string(final))
	}
}

var colours = map[int]string{31: "red", 32: "green", 33: "yellow", 34: "blue", 39: ""}

func (s *screen) sgr(n int) {
	switch n {
	case 0:
		s.style = style{}
	case 1:
		s.style.bold = true
	case 22:
		s.style.bold = false
	default:
		if c, ok := colours[n]; ok {
			s.style.colour = c
		}
	}
}

// text returns the rows without their styles.
func (s *screen) text() string {
	var b strings.Builder
	for i, row := range s.rows {
		if i > 0 {
			b.WriteByte('\n')
		}
		for _, c := range row {
			b.WriteRune(c.r)
		}
	}
	return b.String()
}
