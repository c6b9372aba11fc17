package console_test

import (
	"fmt"
	"html"
	"regexp"
	"slices"
	"strings"
)

// checkHTML is a strict reader of the HTML that the console writes. It knows less than a browser and forgives nothing: what it takes,
// every browser reads in the same way. It returns what is wrong.
func checkHTML(doc string, whole bool) []string {
	c := &htmlCheck{ids: make(map[string]int)}
	c.read(doc)
	c.finish(whole)
	return c.wrong
}

type element struct {
	name  string
	attrs map[string]string
	text  strings.Builder
}

type htmlCheck struct {
	wrong  []string
	stack  []*element
	ids    map[string]int
	refs   []string // ids that are referred to
	labels []string // ids that have a label
	inputs []*element
	seen   map[string]int
	links  []string
	forms  []form
	tables []*table
	level  int // of the last heading
}

type table struct{ caption bool }

// A form is what the page offers to send.
type form struct {
	method, action string
	fields         map[string][]string
}

var (
	voids     = []string{"meta", "link", "input", "br", "hr", "img"}
	known     = strings.Fields("html head body title meta link script header nav main section div span p a h1 h2 h3 ul ol li dl dt dd form label input select option button fieldset legend table caption thead tbody tr th td strong code time details summary svg line rect text desc")
	attribute = regexp.MustCompile(`^\s+([a-zA-Z][-a-zA-Z0-9:]*)(?:="([^"<>]*)")?`)
	tagName   = regexp.MustCompile(`^<(/?)([a-z][a-z0-9]*)`)
	entity    = regexp.MustCompile(`&(?:amp|lt|gt|quot|#34|#39|#43);`)
	parents   = map[string]string{"li": "ul ol", "dt": "dl", "dd": "dl", "tr": "thead tbody", "th": "tr", "td": "tr", "thead": "table", "tbody": "table", "caption": "table",
		"option": "select", "legend": "fieldset", "summary": "details", "title": "head svg rect", "desc": "svg", "line": "svg", "rect": "svg", "text": "svg"}
	phrasing = strings.Fields("span a strong code time input select button label svg br")
)

func (c *htmlCheck) bad(format string, args ...any) {
	where := ""
	for _, e := range c.stack {
		where += "/" + e.name
	}
	c.wrong = append(c.wrong, fmt.Sprintf(format, args...)+" in "+where)
}

func (c *htmlCheck) top() string {
	if len(c.stack) == 0 {
		return ""
	}
	return c.stack[len(c.stack)-1].name
}

func (c *htmlCheck) inside(names ...string) bool {
	return slices.ContainsFunc(c.stack, func(e *element) bool { return slices.Contains(names, e.name) })
}

func (c *htmlCheck) read(doc string) {
	c.seen = make(map[string]int)
	doc = strings.TrimPrefix(doc, "<!DOCTYPE html>\n")
	for doc != "" {
		i := strings.IndexByte(doc, '<')
		if i < 0 {
			i = len(doc)
		}
		c.text(doc[:i])
		if doc = doc[i:]; doc == "" {
			return
		}
		m := tagName.FindStringSubmatch(doc)
		if m == nil {
			c.bad("a < that begins no tag: %.40q", doc)
			return
		}
		doc = doc[len(m[0]):]
		attrs := make(map[string]string)
		for a := attribute.FindStringSubmatch(doc); a != nil; a = attribute.FindStringSubmatch(doc) {
			if _, twice := attrs[a[1]]; twice {
				c.bad("%s has %s twice", m[2], a[1])
			}
			c.entities(a[2])
			attrs[a[1]] = html.UnescapeString(a[2])
			doc = doc[len(a[0]):]
		}
		if !strings.HasPrefix(doc, ">") {
			c.bad("<%s> does not end properly: %.40q", m[2], doc)
			return
		}
		doc = doc[1:]
		if m[1] == "/" {
			c.close(m[2])
		} else {
			c.open(m[2], attrs)
		}
	}
}

func (c *htmlCheck) entities(s string) {
	if strings.Contains(entity.ReplaceAllString(s, ""), "&") {
		c.bad("a bare & in %.60q", s)
	}
}

func (c *htmlCheck) text(s string) {
	c.entities(s)
	if strings.Contains(s, ">") {
		c.bad("a bare > in %.60q", s)
	}
	for _, e := range c.stack {
		e.text.WriteString(html.UnescapeString(s))
	}
	if strings.TrimSpace(s) != "" && slices.Contains([]string{"", "html", "head", "ul", "ol", "dl", "table", "thead", "tbody", "tr", "select", "body"}, c.top()) {
		c.bad("text %.30q", s)
	}
}

func (c *htmlCheck) open(name string, attrs map[string]string) {
	if !slices.Contains(known, name) {
		c.bad("<%s> is not known", name)
	}
	if p, ok := parents[name]; ok && !slices.Contains(strings.Fields(p), c.top()) && !(c.top() == "" && name == "tr") {
		c.bad("<%s>", name)
	}
	if slices.Contains([]string{"ul", "ol", "dl", "tr", "thead", "tbody", "table", "select"}, c.top()) && parents[name] == "" {
		c.bad("<%s>", name)
	}
	if c.inside("p", "a", "button", "label", "h1", "h2", "h3", "summary") && !slices.Contains(phrasing, name) && !c.inside("svg") {
		c.bad("<%s> among text", name)
	}
	if slices.Contains([]string{"a", "button", "form", "label"}, name) && c.inside(name) || (name == "a" || name == "button" || name == "input") && c.inside("a", "button") {
		c.bad("<%s> within its like", name)
	}
	c.attributes(name, attrs)
	c.seen[name]++
	e := &element{name: name, attrs: attrs}
	c.note(e)
	if !slices.Contains(voids, name) {
		c.stack = append(c.stack, e)
	}
}

func (c *htmlCheck) attributes(name string, attrs map[string]string) {
	for a, v := range attrs {
		switch {
		case a == "style", strings.HasPrefix(a, "on"), a == "srcdoc", a == "formaction":
			c.bad("<%s %s>", name, a)
		case a == "href" || a == "src" || a == "action":
			if !strings.HasPrefix(v, "/") && !strings.HasPrefix(v, "#") || strings.HasPrefix(v, "//") {
				c.bad("<%s %s=%q> leads elsewhere", name, a, v)
			}
		case a == "id":
			if c.ids[v]++; c.ids[v] > 1 || v == "" {
				c.bad("the id %q comes twice", v)
			}
		case a == "aria-labelledby" || a == "aria-describedby":
			c.refs = append(c.refs, strings.Fields(v)...)
		case a == "tabindex" && v != "0" && v != "-1":
			c.bad("tabindex %s", v)
		}
	}
}

func (c *htmlCheck) note(e *element) {
	switch e.name {
	case "a":
		c.links = append(c.links, e.attrs["href"])
		if e.attrs["href"] == "" {
			c.bad("a link to nowhere")
		}
	case "form":
		c.forms = append(c.forms, form{method: e.attrs["method"], action: e.attrs["action"], fields: make(map[string][]string)})
	case "input", "select":
		if e.attrs["type"] != "hidden" {
			c.inputs = append(c.inputs, e)
		}
		if n := len(c.forms); c.inside("form") && e.attrs["name"] != "" {
			f := c.forms[n-1].fields
			f[e.attrs["name"]] = append(f[e.attrs["name"]], e.attrs["value"])
		}
	case "label":
		if e.attrs["for"] == "" {
			c.bad("a label for nothing")
		}
		c.labels = append(c.labels, e.attrs["for"])
	case "table":
		c.tables = append(c.tables, &table{})
	case "caption":
		c.tables[len(c.tables)-1].caption = true
	case "th":
		if s := e.attrs["scope"]; s != "col" && s != "row" {
			c.bad("a th without scope")
		}
	case "script":
		if e.attrs["src"] == "" {
			c.bad("a script without src")
		}
	case "h1", "h2", "h3":
		level := int(e.name[1] - '0')
		if level > c.level+1 {
			c.bad("<%s> after a heading of level %d", e.name, c.level)
		}
		c.level = level
	case "section":
		if e.attrs["aria-labelledby"] == "" && e.attrs["class"] != "card" {
			c.bad("a section without a name")
		}
	case "nav":
		if e.attrs["aria-label"] == "" {
			c.bad("a nav without a name")
		}
	}
}

func (c *htmlCheck) close(name string) {
	if c.top() != name {
		c.bad("</%s> does not close what is open", name)
		return
	}
	e := c.stack[len(c.stack)-1]
	text := strings.TrimSpace(e.text.String())
	switch name {
	case "script":
		if text != "" {
			c.bad("inline script")
		}
	case "a", "button", "h1", "h2", "h3", "label", "legend", "title", "summary", "caption", "option", "th":
		if text == "" && e.attrs["aria-label"] == "" {
			c.bad("an empty <%s>", name)
		}
	}
	c.stack = c.stack[:len(c.stack)-1]
}

func (c *htmlCheck) finish(whole bool) {
	if len(c.stack) > 0 {
		c.bad("not everything is closed")
		c.stack = nil
	}
	for _, id := range append(c.refs, c.labels...) {
		if c.ids[id] == 0 {
			c.bad("there is no id %q", id)
		}
	}
	for _, e := range c.inputs {
		if e.attrs["aria-label"] == "" && !slices.Contains(c.labels, e.attrs["id"]) {
			c.bad("<%s name=%q> has no label", e.name, e.attrs["name"])
		}
	}
	for _, t := range c.tables {
		if !t.caption {
			c.bad("a table without caption")
		}
	}
	if !whole {
		return
	}
	for _, name := range []string{"html", "head", "body", "main", "h1", "header", "meta", "link", "script"} {
		if n := c.seen[name]; n == 0 || n > 1 && !slices.Contains([]string{"meta", "link"}, name) {
			c.bad("%d of <%s>", n, name)
		}
	}
}
