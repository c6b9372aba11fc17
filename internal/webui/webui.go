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
	"slices"
	"strings"
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

// An Asset is a file that pages refer to. There is nothing private in it.
type Asset struct {
	Name string // changes with what is in the file, which may therefore be kept for ever
	kind string
	data []byte
}

// NewAsset returns the asset of a file such as "style.css", whose media type is kind.
func NewAsset(name, kind string, data []byte) *Asset {
	sum := sha256.Sum256(data)
	ending := path.Ext(name)
	return &Asset{strings.TrimSuffix(name, ending) + "-" + hex.EncodeToString(sum[:6]) + ending, kind, data}
}

// Serve answers with the one of assets that the last part of the path names, to GET and HEAD.
func Serve(w http.ResponseWriter, r *http.Request, assets ...*Asset) {
	name := path.Base(r.URL.Path)
	i := slices.IndexFunc(assets, func(a *Asset) bool { return a.Name == name })
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
	case i < 0:
		http.NotFound(w, r)
	default:
		w.Header().Set("Content-Type", assets[i].kind)
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(assets[i].data))
	}
}

// Assets of all pages.
var (
	Style = NewAsset("style.css", "text/css; charset=utf-8", style)
	Icon  = NewAsset("icon.svg", "image/svg+xml", icon)
)

// StyleURL returns the address of the style sheet if [Static] is mounted under a path that ends with a slash.
func (f Frame) StyleURL() string { return f.Static + Style.Name }

// IconURL returns the address of the icon.
func (f Frame) IconURL() string { return f.Static + Icon.Name }

// Static answers with the style sheet or the icon.
func Static(w http.ResponseWriter, r *http.Request) { Serve(w, r, Style, Icon) }
