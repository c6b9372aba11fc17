package console_test

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestCVE_2023_24538: no data stands where html/template has failed before: in scripts, styles, handlers of events and
// meta elements there are none.
func TestCVE_2023_24538(t *testing.T) {
	files, err := filepath.Glob("templates/*.html")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, name := range append(files, "../internal/webui/frame.html") {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if where := riskyTemplate(string(data)); where != "" {
			t.Errorf("%s: %q", name, where)
		}
	}
	for _, bad := range []string{"<script>var a = {{.}}</script>", "<script src=x>", "<p style='{{.}}'>", "<a onclick=\"x({{.}})\">", "<style>{{.}}</style>", "<meta http-equiv=refresh content='{{.}}'>", "<a href=\"javascript:{{.}}\">", "<meta name=x content=\"{{.}}\">"} {
		if riskyTemplate(bad) == "" {
			t.Errorf("%s is not noticed", bad)
		}
	}
}

var (
	riskyHTML  = regexp.MustCompile(`(?is)<script(?:[^>]*>)?(?:[^<]*)|<style|\sstyle\s*=|\son[a-z]+\s*=|http-equiv|javascript:|<meta[^>]*\{\{[^>]*>|<iframe|<base`)
	goodScript = regexp.MustCompile(`(?i)^<script src="\{\{[^"]+\}\}"( defer)?>$`)
)

// riskyTemplate returns the first part of a template where data would be in a bad place. A script
// of a file of its own is fine.
func riskyTemplate(text string) string {
	for _, m := range riskyHTML.FindAllString(text, -1) {
		if !goodScript.MatchString(strings.TrimSpace(m)) {
			return m
		}
	}
	return ""
}

// TestCVE_2026_33906: nothing in the console takes a file in or gives the whole file out, to nobody.
func TestCVE_2026_33906(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"restore/", "import/", "backup/", "backup.db", "export/", "load/", "compact/", "snapshot/", "salvage/", "verify/", "database/", "users/import/", "audit/import/", "audit/restore/"} {
		if rec := w.get(w.boss, "/admin/"+path); rec.Code != http.StatusNotFound {
			t.Errorf("GET %s: %d", path, rec.Code)
		}
		if rec := w.post(w.boss, "/admin/"+path, url.Values{"file": {"x"}, "path": {"/tmp/x"}}); rec.Code < 400 {
			t.Errorf("POST %s: %d", path, rec.Code)
		}
	}
}
