package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// print writes a result: v as one JSON document with --json, else what text writes.
func (t *tree) print(v any, text func(w io.Writer)) error {
	w := bufio.NewWriter(t.front.Stdout())
	if t.json {
		if err := encodeJSON(w, v); err != nil {
			return err
		}
	} else {
		text(w)
	}
	return w.Flush()
}

// done writes the result of a verb that has one line to say.
func (t *tree) done(v any, format string, args ...any) error {
	return t.print(v, func(w io.Writer) { _, _ = fmt.Fprintf(w, format+"\n", args...) })
}

// blockRows is how many rows of a long table are lined up together.
const blockRows = 500

// A list writes results as they come: with --json a document a line, else a table whose columns are lined up in blocks.
type list struct {
	w    *bufio.Writer
	json bool
	head []string
	rows [][]string
}

// newList begins a list. The caller calls end.
func (t *tree) newList(head ...string) *list {
	return &list{w: bufio.NewWriterSize(t.front.Stdout(), 32<<10), json: t.json, head: head}
}

// add writes one result: v, or the cells of row.
func (l *list) add(v any, row ...string) error {
	if l.json {
		return encodeJSON(l.w, v)
	}
	if l.rows = append(l.rows, row); len(l.rows) < blockRows {
		return nil
	}
	l.block()
	return l.w.Flush()
}

func (l *list) block() {
	if len(l.rows) > 0 {
		table(l.w, l.head, l.rows)
		l.head, l.rows = nil, nil
	}
}

// end writes what is left.
func (l *list) end() error {
	l.block()
	return l.w.Flush()
}

// encodeJSON writes one value on one line. It may go to a terminal as well: what [clean] escapes is escaped.
func encodeJSON(w io.Writer, v any) error {
	var line bytes.Buffer
	enc := json.NewEncoder(&line)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(escapeJSON(line.Bytes()))
	return err
}

// escapeJSON escapes what cannot be printed in a line of JSON. The control characters of ASCII but DEL are escaped in it already.
func escapeJSON(line []byte) []byte {
	if !bytes.ContainsFunc(line, hidden) {
		return line
	}
	out := make([]byte, 0, len(line)+len(line)/4)
	for _, r := range string(line) { // which is valid UTF-8
		if !hidden(r) {
			out = utf8.AppendRune(out, r)
			continue
		}
		for _, unit := range utf16.AppendRune(nil, r) {
			out = fmt.Appendf(out, `\u%04x`, unit)
		}
	}
	return out
}

func hidden(r rune) bool { return r > '~' && !unicode.IsPrint(r) }

// note writes a line for people to standard error.
func (t *tree) note(format string, args ...any) {
	_, _ = fmt.Fprintf(t.front.Stderr(), format+"\n", args...)
}

// table writes columns. Cells are cleaned; a cell must not depend on its own line breaks.
func table(w io.Writer, head []string, rows [][]string) {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	line := func(cells []string) {
		for i, c := range cells {
			if i > 0 {
				_, _ = io.WriteString(tw, "\t")
			}
			_, _ = io.WriteString(tw, clean(c))
		}
		_, _ = io.WriteString(tw, "\n")
	}
	if head != nil {
		line(head)
	}
	for _, r := range rows {
		line(r)
	}
	_ = tw.Flush()
}

// clean makes a text of somebody's safe to show on a terminal: what would move the cursor, change the direction of writing or
// break the line is escaped.
func clean(s string) string {
	bad := func(r rune) bool { return !unicode.IsPrint(r) }
	if strings.IndexFunc(s, bad) < 0 && strings.ToValidUTF8(s, "") == s {
		return s
	}
	q := strconv.Quote(s)
	return q[1 : len(q)-1]
}

// when formats a time for people.
func when(at time.Time) string {
	if at.IsZero() {
		return "never"
	}
	return at.UTC().Format("2006-01-02 15:04:05Z")
}

// stamp is a time in JSON: RFC 3339 with microseconds, null for none.
func stamp(at time.Time) *string {
	if at.IsZero() {
		return nil
	}
	s := at.UTC().Format("2006-01-02T15:04:05.999999Z07:00")
	return &s
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// confirm asks before something is destroyed, unless --yes was given.
func (t *tree) confirm(ctx context.Context, format string, args ...any) error {
	if t.yes {
		return nil
	}
	what := fmt.Sprintf(format, args...)
	if t.noInput || !t.front.Place().In {
		return withHint(usagef("%s: not without being sure", what), "Give --yes.")
	}
	yes, err := t.agrees(ctx, what+"? [y/N] ")
	if err != nil || yes {
		return err
	}
	return errAborted
}

// agrees asks a question whose answer is no unless it is yes.
func (t *tree) agrees(ctx context.Context, prompt string) (bool, error) {
	answer, err := t.front.ReadLine(ctx, prompt)
	if err != nil {
		return false, leftOff(err)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return true, nil
	}
	return false, nil
}
