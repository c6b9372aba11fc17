package browser

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// These elements have no end.
var void = []atom.Atom{atom.Area, atom.Base, atom.Br, atom.Col, atom.Embed, atom.Hr, atom.Img, atom.Input, atom.Link, atom.Meta, atom.Source, atom.Track, atom.Wbr}

// checkHTML returns what is wrong with a page: elements that are not closed, or closed in the wrong order; anything that a parser puts
// elsewhere than where it stands; attributes and identifiers that are there twice; references to identifiers that are not there.
func checkHTML(page string) (wrong []string) {
	note := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if !strings.HasPrefix(page, "<!DOCTYPE html>\n<html lang=") {
		note("the page begins with %.40q", page)
	}
	var open, seen []string
	ids, refs := make(map[string]int), make(map[string]string)
	z := html.NewTokenizer(strings.NewReader(page))
	for {
		kind := z.Next()
		raw := string(z.Raw())
		if kind == html.ErrorToken {
			if z.Err() != io.EOF {
				note("%v", z.Err())
			}
			break
		}
		tok := z.Token()
		switch kind {
		case html.StartTagToken, html.SelfClosingTagToken:
			seen = append(seen, tok.Data)
			noteTwice(raw, note)
			noteAttributes(tok, ids, refs, note)
			isVoid := slices.Contains(void, tok.DataAtom)
			foreign := slices.Contains(open, "svg")
			switch {
			case kind == html.SelfClosingTagToken && !isVoid && !foreign:
				note("<%s/> is not closed by its slash", tok.Data)
			case kind == html.StartTagToken && !isVoid:
				open = append(open, tok.Data)
			}
		case html.EndTagToken:
			if len(open) == 0 || open[len(open)-1] != tok.Data {
				note("</%s> where %q are open", tok.Data, open)
				continue
			}
			open = open[:len(open)-1]
		case html.TextToken:
			if len(open) < 2 && strings.TrimSpace(tok.Data) != "" {
				note("text outside the body: %.40q", tok.Data)
			}
		}
	}
	if len(open) > 0 {
		note("not closed: %q", open)
	}
	for id, n := range ids {
		if n > 1 {
			note("the identifier %q is there %d times", id, n)
		}
	}
	for id, by := range refs {
		if ids[id] == 0 {
			note("%s refers to %q, which is not there", by, id)
		}
	}
	if parsed := parsedTags(page); !slices.Equal(parsed, seen) {
		note("a parser reads another page: %s", difference(seen, parsed))
	}
	slices.Sort(wrong)
	return wrong
}

var attribute = regexp.MustCompile(`\s([^\s=<>"'/]+)(?:="[^"]*")?`)

// noteTwice looks for attributes that are there twice, in a tag as it stands: tokenizer and parser drop the second.
func noteTwice(tag string, note func(string, ...any)) {
	names := make(map[string]bool)
	for _, m := range attribute.FindAllStringSubmatch(tag, -1) {
		if names[m[1]] {
			note("%.40s has %s twice", tag, m[1])
		}
		names[m[1]] = true
	}
}

// noteAttributes collects identifiers, and what refers to them.
func noteAttributes(tok html.Token, ids map[string]int, refs map[string]string, note func(string, ...any)) {
	for _, a := range tok.Attr {
		switch a.Key {
		case "id":
			ids[a.Val]++
			if a.Val == "" || strings.ContainsAny(a.Val, " \t\n") {
				note("%q is no identifier", a.Val)
			}
		case "for", "aria-labelledby", "aria-describedby", "aria-controls":
			for id := range strings.FieldsSeq(a.Val) {
				refs[id] = "<" + tok.Data + " " + a.Key + ">"
			}
		case "href":
			if id, ok := strings.CutPrefix(a.Val, "#"); ok {
				refs[id] = "<" + tok.Data + " href>"
			}
		case "style", "onclick", "onsubmit", "onload":
			note("<%s> has %s, which the policy does not let in", tok.Data, a.Key)
		}
	}
}

// parsedTags are the elements of the tree in the order of the page.
func parsedTags(page string) (tags []string) {
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		return []string{err.Error()}
	}
	for n := range root.Descendants() {
		if n.Type == html.ElementNode {
			tags = append(tags, n.Data)
		}
	}
	return tags
}

func difference(a, b []string) string {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("element %d is <%s> and not <%s>, after %q", i, b[i], a[i], a[max(0, i-4):i])
		}
	}
	return fmt.Sprintf("it has %d elements and not %d", len(b), len(a))
}

func TestHTMLCheckFinds(t *testing.T) {
	const head, foot = "<!DOCTYPE html>\n<html lang=\"en\"><head><title>x</title></head><body>", "</body></html>"
	if wrong := checkHTML(head + `<main id="m"><a href="#m">a</a><br><table><tbody><tr><td>1</td></tr></tbody></table></main>` + foot); len(wrong) > 0 {
		t.Errorf("a good page: %q", wrong)
	}
	for body, want := range map[string]string{
		`<p id="a"></p><p id="a"></p>`:              "is there 2 times",
		`<p>one<p>two</p>`:                          "are open",
		`<b><i>x</b></i>`:                           "are open",
		`<div>`:                                     "are open",
		`<div/>`:                                    "not closed by its slash",
		`<input name="a" name="b">`:                 "has name twice",
		`<label for="nowhere">x</label>`:            "not there",
		`<table><tr><td>1</td></tr></table>`:        "a parser reads another page",
		`<p><ul><li>x</li></ul></p>`:                "a parser reads another page",
		`<table><tbody><div></div></tbody></table>`: "a parser reads another page",
		`<form><form></form></form>`:                "a parser reads another page",
		`<p style="color: red">x</p>`:               "the policy",
		`<p id="a b">x</p>`:                         "no identifier",
	} {
		if wrong := checkHTML(head + body + foot); !strings.Contains(strings.Join(wrong, "\n"), want) {
			t.Errorf("%s: found %q, want %q", body, wrong, want)
		}
	}
	if wrong := checkHTML("<p>x</p>"); len(wrong) == 0 {
		t.Error("half a page is taken for a whole one")
	}
}
