package authhttp_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/latchbolt-go/latchbolt/authhttp"
	"github.com/latchbolt-go/latchbolt/authtest"
)

// Every literal that the code hands to something that translates is in the list, and nothing else.
func TestEnglishTexts(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	takesText := map[string]bool{"T": true, "wrong": true, "page": true, "fail": true, "writeFailure": true, "again": true}
	inCode := make(map[string]bool)
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if ret, ok := n.(*ast.ReturnStmt); ok && len(ret.Results) == 2 { // finish returns a status and words
				addText(inCode, ret.Results[1])
			}
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || !takesText[sel.Sel.Name] {
				return true
			}
			for _, arg := range call.Args {
				addText(inCode, arg)
			}
			return true
		})
	}
	all := authhttp.EnglishTexts()
	for text := range inCode {
		if !slices.Contains(all, text) {
			t.Errorf("%q is not in the list", text)
		}
	}
	for _, text := range authhttp.CodeTexts() {
		if !inCode[text] {
			t.Errorf("%q is in the list, but not in the code", text)
		}
	}
	if len(inCode) < 25 || len(all) < 100 {
		t.Errorf("%d texts in the code, %d in all", len(inCode), len(all))
	}
}

// addText adds a literal if it is a text for people: it has a capital letter, a digit or a verb in front.
func addText(to map[string]bool, e ast.Expr) {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return
	}
	if s, err := strconv.Unquote(lit.Value); err == nil && s != "" && strings.ContainsAny(s[:1], "ABCDEFGHIJKLMNOPQRSTUVWXYZ%1") {
		to[s] = true
	}
}

// All pages can be had in another language, with nothing left in English.
func TestTranslation(t *testing.T) {
	words := make(map[string]string)
	for _, text := range authhttp.EnglishTexts() {
		words[text] = "¡" + text
	}
	words["password_too_short"] = "¡kurz"
	s := newSite(t, &authhttp.Auth{Texts: func(r *http.Request) *authhttp.Texts {
		if r.Header.Get("Accept-Language") != "xx" {
			return nil
		}
		return &authhttp.Texts{Lang: "xx", RightToLeft: true, Words: words}
	}}, nil)
	authtest.User(t, s.eng, "ada")
	b := s.browser()
	b.login("ada")
	b.header.Set("Accept-Language", "xx")
	untranslated := regexp.MustCompile(`>\s*[A-Z][a-z]+ [^<]*<`)
	for _, page := range []string{"/accounts/", "/accounts/login/", "/accounts/password/change/", "/accounts/confirm/", "/accounts/password/reset/", "/accounts/password/reset/done/", "/accounts/password/reset/complete/", "/accounts/password/reset/x/", "/accounts/nothing/"} {
		text := body(b.get(page))
		if !strings.Contains(text, `lang="xx" dir="rtl"`) || !strings.Contains(text, "¡") {
			t.Errorf("%s: %.300s", page, text)
		}
		for _, m := range untranslated.FindAllString(text, -1) {
			if !strings.Contains(text, "password1-help") && !strings.Contains(m, "Firefox") {
				t.Errorf("%s: %q", page, m)
			}
		}
	}
	want(t, "a message of the engine", b.post("/accounts/password/change/", "old", authtest.Password, "password1", "x", "password2", "x"), 422, "¡kurz")
	b.header.Set("Accept-Language", "de")
	want(t, "English otherwise", b.get("/accounts/"), 200, `lang="en"`, "Your account")
	b.header.Set("Accept", "application/json")
	b.header.Set("Accept-Language", "xx")
	want(t, "for programs", s.browser().get("/accounts/"), 302)
}

func TestOwnTemplates(t *testing.T) {
	own := fstest.MapFS{"login.html": {Data: []byte(`{{define "main"}}own: {{.Title}} {{.Next}} {{.T "Password"}}{{end}}`)}}
	s := newSite(t, &authhttp.Auth{Templates: own}, nil)
	want(t, "the page", s.browser().get("/accounts/login/?next=/x"), 200, "own: Sign in /x Password", "<!DOCTYPE html>")
	want(t, "another", s.browser().get("/accounts/password/reset/"), 200, "Reset password")
	for what, fs := range map[string]fstest.MapFS{
		"replaces no template":               {"logn.html": {Data: []byte("x")}},
		"unclosed action":                    {"login.html": {Data: []byte("{{")}},
		`login.html does not define "main"`:  {"login.html": {Data: []byte("<h1>mine</h1>")}},
		`frame.html does not define "frame"`: {"frame.html": {Data: []byte(`{{define "main"}}mine{{end}}`)}},
		`use fs.Sub(…, "templates")`:         {"templates/login.html": {Data: []byte(`{{define "main"}}mine{{end}}`)}},
	} {
		a := &authhttp.Auth{Engine: s.eng, Templates: fs}
		if err := a.Check(); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	// Other files in folders are not looked at, and a folder that is empty replaces nothing.
	for _, fs := range []fstest.MapFS{{}, {"mine/board.html": {Data: []byte("x")}}, {"parts.html": {Data: []byte(`{{define "more"}}x{{end}}`)}}, {"login.html": {Data: []byte(`{{define "main"}}x{{end}}`)}, "old/login.html": {Data: []byte("x")}}} {
		if err := (&authhttp.Auth{Engine: s.eng, Templates: fs}).Check(); err != nil {
			t.Errorf("%v: %v", fs, err)
		}
	}
	// One that fails while it is made sends no half page, and nothing of the error.
	bad := newSite(t, &authhttp.Auth{Engine: s.eng, Templates: fstest.MapFS{"login.html": {Data: []byte(`{{define "main"}}canary {{.Nothing}}{{end}}`)}}}, nil)
	res := bad.browser().get("/accounts/login/")
	want(t, "a template that fails", res, 500)
	if strings.Contains(body(res), "canary") || strings.Contains(body(res), "Nothing") {
		t.Errorf("%s", body(res))
	}
}

// TestCVE_2023_24538 has rules for templates: nothing inline, nothing of another host, no data inside scripts, styles or
// handlers of events (the defects of html/template were nearly all there), a label for each field.
func TestCVE_2023_24538(t *testing.T) {
	files, err := filepath.Glob("templates/*.html")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	forbidden := regexp.MustCompile(`(?i)<script[^ ]|<script [^s]|<style|\sstyle=|\son[a-z]+=|https?://|//[a-z]|javascript:|http-equiv|<iframe|<base|target=`)
	field := regexp.MustCompile(`<input id="([^"]+)"`)
	fields := 0
	for _, name := range append(files, "../internal/webui/frame.html") {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		// The frame is the console's too, which has a script in a file of its own; here there is none to name.
		if m := forbidden.FindString(strings.ReplaceAll(string(data), `<script src="{{.}}" defer></script>`, "")); m != "" {
			t.Errorf("%s: %q", name, m)
		}
		for _, m := range field.FindAllSubmatch(data, -1) {
			fields++
			if !strings.Contains(string(data), `<label for="`+string(m[1])+`"`) {
				t.Errorf("%s: %s has no label", name, m[1])
			}
		}
		if n := strings.Count(string(data), "<form"); n != strings.Count(string(data), `<form method="post" action="{{`) {
			t.Errorf("%s: a form that does not post to a view", name)
		}
	}
	if fields < 12 {
		t.Errorf("only %d fields", fields)
	}
}
