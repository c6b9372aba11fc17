package cli

import (
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// helpWidth is how many columns the lines of help have at most.
const helpWidth = 100

// reflow fills the lines of the long help of all commands, so that nobody has to do that by hand.
func reflow(cmd *cobra.Command) {
	cmd.Long = fill(cmd.Long, helpWidth)
	for _, c := range cmd.Commands() {
		reflow(c)
	}
}

// fill breaks paragraphs, which empty lines divide, into lines of at most width columns. A paragraph with a line that is indented stays as it is.
func fill(text string, width int) string {
	paragraphs := strings.Split(text, "\n\n")
	for i, p := range paragraphs {
		if strings.HasPrefix(p, " ") || strings.Contains(p, "\n ") {
			continue
		}
		var b strings.Builder
		column := 0
		for _, word := range strings.Fields(p) {
			n := utf8.RuneCountInString(word)
			switch {
			case column == 0:
			case column+1+n > width:
				b.WriteByte('\n')
				column = 0
			default:
				b.WriteByte(' ')
				column++
			}
			b.WriteString(word)
			column += n
		}
		paragraphs[i] = b.String()
	}
	return strings.Join(paragraphs, "\n\n")
}
