package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
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

// encodeJSON writes one value on one line.
func encodeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

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
	answer, err := t.front.ReadLine(ctx, what+"? [y/N] ")
	if err != nil && err != io.EOF {
		return err
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return &exitError{code: ExitFailed, err: fmt.Errorf("nothing was done")}
}
