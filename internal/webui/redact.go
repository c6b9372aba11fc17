package webui

import "strings"

// WithoutLink is what an error of a program's mail function says, for the log. A mail server likes to repeat what it refused, so the link, and the
// token in it, are taken out.
func WithoutLink(err error, link string) string {
	text := strings.ReplaceAll(err.Error(), link, "[link]")
	parts := strings.Split(strings.Trim(link, "/"), "/")
	if token := parts[len(parts)-1]; token != "" {
		text = strings.ReplaceAll(text, token, "[token]")
	}
	return text
}
