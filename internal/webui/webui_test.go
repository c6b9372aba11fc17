package webui_test

import (
	"fmt"
	"math"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/latchbolt-go/latchbolt/internal/webui"
)

// colours returns the pairs of the style sheet: light and dark.
func colours(t *testing.T) map[string][2]float64 {
	t.Helper()
	data, err := os.ReadFile("style.css")
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string][2]float64)
	for _, m := range regexp.MustCompile(`--([a-z-]+): light-dark\(#([0-9a-f]{6}), #([0-9a-f]{6})\)`).FindAllStringSubmatch(string(data), -1) {
		out[m[1]] = [2]float64{luminance(t, m[2]), luminance(t, m[3])}
	}
	return out
}

// luminance is WCAG 2.2's relative luminance.
func luminance(t *testing.T, hex string) float64 {
	t.Helper()
	n, err := strconv.ParseUint(hex, 16, 32)
	if err != nil {
		t.Fatal(err)
	}
	l := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		c := float64(n>>(16-8*i)&255) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		l += weight * c
	}
	return l
}

// Texts have the contrast of WCAG 2.2, 1.4.3 (4.5), edges of fields that of 1.4.11 (3), light and dark.
func TestContrast(t *testing.T) {
	c := colours(t)
	least := map[string]float64{
		"text ground": 7, "text card": 7, "muted ground": 4.5, "muted card": 4.5, "accent card": 4.5, "accent ground": 4.5, "on-accent accent": 4.5,
		"bad card": 4.5, "good card": 4.5, "warn card": 4.5, "text accent-soft": 7, "text bad-soft": 7, "text good-soft": 7, "text warn-soft": 7, "field card": 3, "field ground": 3,
	}
	for pair, want := range least {
		a, b, _ := strings.Cut(pair, " ")
		for i, mode := range []string{"light", "dark"} {
			if c[a][i] == 0 && c[a][1-i] == 0 || c[b][i] == 0 && c[b][1-i] == 0 {
				t.Fatalf("%s: a colour is not in the style sheet", pair)
			}
			hi, lo := max(c[a][i], c[b][i]), min(c[a][i], c[b][i])
			if got := (hi + 0.05) / (lo + 0.05); got < want {
				t.Errorf("%s, %s: contrast %.2f, want %.1f", pair, mode, got, want)
			}
		}
	}
}

func TestStatic(t *testing.T) {
	f := webui.Frame{Static: "/x/static/"}
	for _, u := range []string{f.StyleURL(), f.IconURL()} {
		w := httptest.NewRecorder()
		webui.Static(w, httptest.NewRequest("GET", u, nil))
		if w.Code != 200 || w.Body.Len() == 0 || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d %v", u, w.Code, w.Header())
		}
		if strings.Contains(w.Body.String(), "url(") || strings.Contains(w.Body.String(), "@import") {
			t.Errorf("%s loads something", u)
		}
	}
	for _, u := range []string{"/x/static/", "/x/static/style.css", "/x/static/../../etc/passwd", "/"} {
		w := httptest.NewRecorder()
		webui.Static(w, httptest.NewRequest("GET", u, nil))
		if w.Code != 404 {
			t.Errorf("%s: %d", u, w.Code)
		}
	}
}

func TestFrameEscapes(t *testing.T) {
	tmpl, err := webui.Parse(nil)
	if err == nil {
		tmpl, err = tmpl.Parse(`{{define "main"}}body{{end}}`)
	}
	if err != nil {
		t.Fatal(err)
	}
	evil := `"><script>x</script>`
	var b strings.Builder
	f := webui.Frame{Lang: evil, Title: evil, Site: evil, Home: "javascript:x", Static: "/s/", Skip: evil, Nav: []webui.Link{{URL: "javascript:x", Text: evil, Current: true}}, NavLabel: evil, User: evil, Logout: "/out", LogoutText: evil, Width: evil}
	if err := tmpl.ExecuteTemplate(&b, "frame", struct{ Frame webui.Frame }{f}); err != nil {
		t.Fatal(err)
	}
	if got := b.String(); strings.Contains(got, "<script") || strings.Contains(got, `"javascript:`) || !strings.Contains(got, "body") || !strings.Contains(got, `aria-current="page"`) {
		t.Error(fmt.Sprint(got))
	}
}
