package cli

// Colours, as SGR parameters.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
)

// paint colours a text for standard output, if that is a terminal which shows colours. The text must have been cleaned.
func (t *tree) paint(colour, text string) string {
	if !t.front.Place().Color || t.json {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}
