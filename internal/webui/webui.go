// Package webui is what the pages of authhttp and of the console share: one
// style sheet and the frame around every page. Nothing of it needs script, and
// nothing comes from another host.
package webui

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"html/template"
	"net/http"
	"path"
	"time"
)

//go:embed style.css
var style []byte

//go:embed icon.svg
var icon []byte

//go:embed frame.html
var frame string

// A Frame is what stands around a page. Templates find it as .Frame.
type Frame struct {
	Lang        string // of the page, such as "en"
	RightToLeft bool
	Title       string // of the page
	Site        string // name of the program
	Home        string // where the name leads
	Static      string // path under which the handler Static is mounted, with a slash at the end
	Skip        string // text of the link past the head of the page, "Skip to content"
	Nav         []Link // may be empty
	NavLabel    string // what the navigation is called for those who hear it
	User        string // who is signed in; may be empty
	Logout      string // where signing out is posted to; "" leaves the button out
	LogoutText  string
	Styles      []string // further style sheets
	Script      string   // a script that the page does without; may be empty
	Width       string   // "narrow" for a form, "medium" for text, "" for tables
}

// A Link leads to a page.
type Link struct {
	URL, Text string
	Current   bool // it is this page
}

// Parse returns a set of templates that has the frame, to which pages can be added. A page
// defines "main" and is made by executing "frame" with data that has a field Frame.
func Parse(funcs template.FuncMap) (*template.Template, error) {
	return template.New("webui").Funcs(funcs).Parse(frame)
}

// Names of the files that Static serves. They change with what is in the files, which may therefore be kept
// for ever.
var (
	styleName = hashed("style-", style, ".css")
	iconName  = hashed("icon-", icon, ".svg")
)

func hashed(name string, data []byte, ending string) string {
	sum := sha256.Sum256(data)
	return name + hex.EncodeToString(sum[:6]) + ending
}

// StyleURL returns the address of the style sheet if [Static] is mounted under a path that ends with a slash.
func (f Frame) StyleURL() string { return f.Static + styleName }

// IconURL returns the address of the icon.
func (f Frame) IconURL() string { return f.Static + iconName }

// Static answers with the file that the last part of the path names: the style sheet or the icon.
func Static(w http.ResponseWriter, r *http.Request) {
	data, kind := style, "text/css; charset=utf-8"
	switch path.Base(r.URL.Path) {
	case styleName:
	case iconName:
		data, kind = icon, "image/svg+xml"
	default:
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}
