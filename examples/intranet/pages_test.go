package main

import (
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/latchbolt-go/latchbolt"
)

const password = "a rather long password"

// A site is the program with a test server in front.
type site struct {
	*app
	t   *testing.T
	url string
}

func newSite(t *testing.T) *site {
	t.Helper()
	srv := httptest.NewUnstartedServer(nil)
	a, err := open(t.Context(), options{dir: t.TempDir()}, "http://"+srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		a.auth.Wait()
		if err := a.eng.Close(); err != nil {
			t.Error(err)
		}
	})
	srv.Config.Handler = a.handler()
	srv.Start()
	t.Cleanup(srv.Close)
	return &site{app: a, t: t, url: srv.URL}
}

// user makes somebody with groups and returns a browser in which they are signed in. Nobody is "".
func (s *site) user(name string, groups ...string) *browser {
	s.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	b := &browser{t: s.t, url: s.url, client: &http.Client{Jar: jar}}
	if name == "" {
		return b
	}
	u := &latchbolt.User{Username: name}
	for _, group := range groups {
		g, err := s.eng.GroupByName(s.t.Context(), group)
		if err != nil {
			s.t.Fatal(err)
		}
		u.Groups = append(u.Groups, g.ID)
	}
	if err := s.eng.CreateUser(s.t.Context(), u, password); err != nil {
		s.t.Fatal(err)
	}
	if status, at, _ := b.post("/accounts/login/", "username", name, "password", password); status != 200 || at != "/" {
		s.t.Fatalf("login of %s: status %d at %s", name, status, at)
	}
	return b
}

type browser struct {
	t      *testing.T
	url    string
	client *http.Client
}

// get and post follow redirects, and return the last status, the path that was arrived at, and the page.
func (b *browser) get(path string) (status int, at, page string) {
	b.t.Helper()
	return b.do(b.client.Do(b.request("GET", path, nil)))
}

func (b *browser) post(path string, form ...string) (status int, at, page string) {
	b.t.Helper()
	v := make(url.Values)
	for i := 0; i < len(form); i += 2 {
		v.Set(form[i], form[i+1])
	}
	return b.do(b.client.Do(b.request("POST", path, v)))
}

func (b *browser) request(method, path string, form url.Values) *http.Request {
	b.t.Helper()
	if !strings.HasPrefix(path, "http") {
		path = b.url + path
	}
	r, err := http.NewRequestWithContext(context.Background(), method, path, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if method == "POST" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return r
}

func (b *browser) do(resp *http.Response, err error) (status int, at, page string) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp.StatusCode, resp.Request.URL.Path, string(data)
}

func (s *site) wantPosts(want ...string) {
	s.t.Helper()
	var got []string
	for _, p := range s.board.all() {
		got = append(got, p.Title)
	}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		s.t.Errorf("the board has %q, want %q", got, want)
	}
}

// TestWhoMayDoWhat goes through everybody and everything that can be done to a post of alan's.
func TestWhoMayDoWhat(t *testing.T) {
	s := newSite(t)
	alan, edsger := s.user("alan", "Writers"), s.user("edsger", "Writers")
	margaret, tony, nobody := s.user("margaret", "Moderators"), s.user("tony"), s.user("")
	if status, _, page := alan.post("/posts/new/", "title", "Chess", "text", "On Friday"); status != 200 || !strings.Contains(page, "Your notice is on the board.") {
		t.Fatalf("adding a notice: status %d: %s", status, page)
	}
	for _, c := range []struct {
		who            string
		b              *browser
		list, add, own int    // status of reading, adding, and of what concerns alan's post
		at             string // where reading leads
	}{
		{"the author", alan, 200, 200, 200, "/"},
		{"another author", edsger, 200, 200, 403, "/"},
		{"a moderator", margaret, 200, 403, 200, "/"},
		{"a reader", tony, 200, 403, 403, "/"},
		{"nobody", nobody, 200, 200, 200, "/accounts/login/"},
	} {
		status, at, page := c.b.get("/")
		if status != c.list || at != c.at {
			t.Errorf("%s reads the board: status %d at %s", c.who, status, at)
		}
		if c.at == "/" {
			if got := strings.Contains(page, "/posts/1/edit/") && strings.Contains(page, "/posts/1/delete/"); got != (c.own == 200) {
				t.Errorf("%s is offered to change alan's post: %t", c.who, got)
			}
		}
		for path, want := range map[string]int{"/posts/new/": c.add, "/posts/1/edit/": c.own, "/posts/1/delete/": c.own, "/posts/2/edit/": 404, "/posts/x/edit/": 404, "/nowhere": 404} {
			status, at, _ := c.b.get(path)
			if c.at != "/" && at == c.at {
				continue // asked to sign in, whatever it was
			}
			if status != want || c.at != "/" {
				t.Errorf("%s gets %s: status %d at %s, want %d", c.who, path, status, at, want)
			}
		}
		if c.own == 200 && c.at == "/" {
			continue
		}
		c.b.post("/posts/1/edit/", "title", "Broken", "text", "into", "edits", "0")
		c.b.post("/posts/1/delete/")
		s.wantPosts("Chess")
	}

	// A right that is taken away is gone with the next request.
	u, err := s.eng.UserByName(t.Context(), "alan")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.eng.Revoke(t.Context(), u.ID, "board.change_post", "board.post:1"); err != nil {
		t.Fatal(err)
	}
	if status, _, _ := alan.get("/posts/1/edit/"); status != 403 {
		t.Errorf("the author without the right gets status %d", status)
	}
	if status, _, page := margaret.post("/posts/1/edit/", "title", "Chess!", "text", "On Friday", "edits", "0"); status != 200 || !strings.Contains(page, "The notice is changed.") {
		t.Errorf("a moderator changes: status %d: %s", status, page)
	}
	s.wantPosts("Chess!")
	if status, _, page := alan.post("/posts/1/delete/"); status != 200 || !strings.Contains(page, "The notice is deleted.") {
		t.Errorf("the author deletes: status %d: %s", status, page)
	}
	s.wantPosts()
	held, err := s.eng.Holders(t.Context(), "board.delete_post")
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range held {
		if g.Object != "" {
			t.Errorf("after the deletion there is still %+v", g)
		}
	}
}

func TestFormsKeepWhatWasTyped(t *testing.T) {
	s := newSite(t)
	alan := s.user("alan", "Writers")
	for _, c := range []struct{ name, title, text, want string }{
		{"no title", " ", "the text", "Please enter a title."},
		{"no text", "the title", "\r\n", "Please enter a text."},
		{"a long title", strings.Repeat("ä", 101), "the text", "At most 100 characters; these are 101."},
		{"a long text", "the title", strings.Repeat("x", 5001), "At most 5000 characters; these are 5001."},
		{"far too long", "the title", strings.Repeat("x", maxForm), "The form could not be read."},
	} {
		status, _, page := alan.post("/posts/new/", "title", c.title, "text", c.text)
		if status != 422 || !strings.Contains(page, c.want) {
			t.Errorf("%s: status %d: %s", c.name, status, page)
		}
		if c.name == "no title" && !strings.Contains(page, "the text</textarea>") {
			t.Errorf("%s: the text is lost: %s", c.name, page)
		}
	}
	s.wantPosts()
	if status, _, page := alan.post("/posts/new/", "title", "<b>", "text", "a\r\n\r\n<script>"); status != 200 || !strings.Contains(page, "&lt;b&gt;") || strings.Contains(page, "<script>") {
		t.Errorf("marks of HTML: status %d: %s", status, page)
	}
	// Who saves what somebody else changed meanwhile is told so, and loses nothing.
	alan.post("/posts/1/edit/", "title", "second", "text", "by the other tab", "edits", "0")
	status, _, page := alan.post("/posts/1/edit/", "title", "third", "text", "mine", "edits", "0")
	if status != 422 || !strings.Contains(page, "by the other tab") || !strings.Contains(page, "mine</textarea>") {
		t.Errorf("a change of an old state: status %d: %s", status, page)
	}
	s.wantPosts("second")
	if !strings.Contains(page, `name="edits" value="1"`) {
		t.Errorf("saving again is not possible: %s", page)
	}
	// A mistake in the form does not make a state newer than it is.
	status, _, page = alan.post("/posts/1/edit/", "title", "", "text", "mine", "edits", "0")
	if status != 422 || !strings.Contains(page, `name="edits" value="0"`) {
		t.Errorf("a mistake in a change of an old state: status %d: %s", status, page)
	}
	// Another site cannot post with the cookie of who visits it.
	r := alan.request("POST", "/posts/1/delete/", nil)
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	r.Header.Set("Origin", "https://elsewhere.example")
	if status, _, _ := alan.do(alan.client.Do(r)); status != 403 {
		t.Errorf("a request from another site: status %d", status)
	}
	s.wantPosts("second")
}

func TestConsoleIsForThoseWhoMay(t *testing.T) {
	s := newSite(t)
	alan := s.user("alan", "Writers")
	for _, path := range []string{"/admin/", "/admin/users/"} {
		if status, _, _ := alan.get(path); status != 403 {
			t.Errorf("%s for a writer: status %d", path, status)
		}
		if _, at, _ := s.user("").get(path); at != "/accounts/login/" {
			t.Errorf("%s leads nobody to %s", path, at)
		}
	}
}

// The files of the pages are there for everybody, the list of them is not.
func TestStaticFiles(t *testing.T) {
	s := newSite(t)
	b := s.user("ada")
	for path, want := range map[string]int{"/static/style.css": 200, "/static/": 404, "/static/nothing": 404} {
		if status, _, page := b.get(path); status != want || strings.Contains(page, "<pre>") {
			t.Errorf("%s: %d, want %d", path, status, want)
		}
	}
}
