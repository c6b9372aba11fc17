package console

import (
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/latchbolt-go/latchbolt/internal/webui"
)

//go:embed console.css
var style []byte

//go:embed console.js
var script []byte

// Assets of the console beside those of all pages.
var (
	styleAsset  = webui.NewAsset("console.css", "text/css; charset=utf-8", style)
	scriptAsset = webui.NewAsset("console.js", "text/javascript; charset=utf-8", script)
)

// serveStatic answers with a style sheet, the script or the icon.
func serveStatic(w http.ResponseWriter, r *http.Request) {
	webui.Serve(w, r, styleAsset, scriptAsset, webui.Style, webui.Icon)
}

// funcs are what templates can use.
var funcs = template.FuncMap{
	"time":   func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") },
	"second": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") },
	"stamp":  func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"bytes":  bytesText,
	"agent":  agentText,
	"dict":   dict,
	"count":  countText,
	"some":   someText,
}

// someText is a number with what is counted, such as "1 user" and "2 users".
func someText(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + one + "s"
}

// dict makes a map of names and values, for parts that need several.
func dict(pairs ...any) (map[string]any, error) {
	m := make(map[string]any, len(pairs)/2)
	for i := 0; i+1 < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("dict: %v is no name", pairs[i])
		}
		m[name] = pairs[i+1]
	}
	return m, nil
}

// countText groups the digits of a number.
func countText(n int) string {
	s := fmt.Sprint(n)
	var b strings.Builder
	for i, c := range s {
		if i > 0 && (len(s)-i)%3 == 0 && c != '-' {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	return b.String()
}

func bytesText(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.0f KiB", float64(n)/(1<<10))
}

// agentText makes something short of what a browser says of itself.
func agentText(agent string) string {
	name := ""
	for _, b := range []struct{ in, name string }{{"Edg/", "Edge"}, {"OPR/", "Opera"}, {"Firefox/", "Firefox"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"}, {"curl/", "curl"}} {
		if strings.Contains(agent, b.in) {
			name = b.name
			break
		}
	}
	system := ""
	for _, s := range []struct{ in, name string }{{"Android", "Android"}, {"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Windows", "Windows"}, {"Mac OS X", "macOS"}, {"CrOS", "ChromeOS"}, {"Linux", "Linux"}} {
		if strings.Contains(agent, s.in) {
			system = s.name
			break
		}
	}
	switch {
	case name != "" && system != "":
		return name + " on " + system
	case name != "":
		return name
	case agent == "":
		return "unknown"
	}
	if runes := []rune(agent); len(runes) > 40 {
		return string(runes[:40]) + "…"
	}
	return agent
}
