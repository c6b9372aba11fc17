package routers

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/authhttp"
)

const password = "correct horse battery staple"

func TestMain(m *testing.M) {
	gin.SetMode(gin.ReleaseMode)
	os.Exit(m.Run())
}

// newServer runs the program over a new file, over https as in earnest.
func newServer(t *testing.T, program func(*authhttp.Auth) http.Handler) *httptest.Server {
	t.Helper()
	eng, err := latchbolt.Open(filepath.Join(t.TempDir(), "app.db"), &latchbolt.Config{
		Create: true, Hashers: []latchbolt.Hasher{latchbolt.PBKDF2SHA256{Iterations: 1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := eng.Close(); err != nil {
			t.Error(err)
		}
	})
	ada, bob := &latchbolt.User{Username: "ada"}, &latchbolt.User{Username: "bob"}
	for _, err := range []error{
		eng.CreateUser(t.Context(), ada, password), eng.CreateUser(t.Context(), bob, password),
		eng.DefineModel(t.Context(), "news", "item"), eng.Grant(t.Context(), ada.ID, "news.add_item"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	srv := httptest.NewTLSServer(program(&authhttp.Auth{Engine: eng}))
	t.Cleanup(srv.Close)
	return srv
}

// steps is a walk of one browser through the program. Redirects are not followed.
var steps = []struct {
	name, method, path, form string
	site                     string // Sec-Fetch-Site; "" is same-origin
	status                   int
	location, body           string // what the answer has; "" says nothing about it
	header                   [2]string
}{
	{name: "a page for everybody", method: "GET", path: "/", status: 200, body: "Welcome.", header: [2]string{"Vary", ""}},
	{name: "its policy", method: "GET", path: "/", status: 200, header: [2]string{"X-Content-Type-Options", "nosniff"}},
	{name: "a page for people, by nobody", method: "GET", path: "/hello", status: 302, location: "/accounts/login/?next=/hello"},
	{name: "a form that needs a right, by nobody", method: "POST", path: "/publish/7", status: 302, location: "/accounts/login/"},
	{name: "the login page", method: "GET", path: "/accounts/login/?next=/hello", status: 200, body: `name="next" value="/hello"`},
	{name: "a style sheet", method: "GET", path: "/accounts/static/none.css", status: 404},
	{name: "a wrong password", method: "POST", path: "/accounts/login/", form: "username=bob&password=wrong", status: 401},
	{name: "bob signs in", method: "POST", path: "/accounts/login/", form: "username=bob&password=" + password + "&next=/hello", status: 303, location: "/hello"},
	{name: "bob's first visit", method: "GET", path: "/hello", status: 200, body: "Hello, bob, for the 1. time."},
	{name: "bob's second visit", method: "GET", path: "/hello", status: 200, body: "Hello, bob, for the 2. time."},
	{name: "kept by no cache", method: "GET", path: "/hello", status: 200, header: [2]string{"Vary", "Cookie"}},
	{name: "a right that bob lacks", method: "POST", path: "/publish/7", status: 403},
	{name: "bob signs out by an address", method: "GET", path: "/accounts/logout/", status: 405},
	{name: "bob is signed out by another site", method: "POST", path: "/accounts/logout/", site: "cross-site", status: 403},
	{name: "bob's third visit", method: "GET", path: "/hello", status: 200, body: "Hello, bob, for the 4. time."},
	{name: "ada signs in in his place", method: "POST", path: "/accounts/login/", form: "username=ada&password=" + password, status: 303, location: "/"},
	{name: "nothing of bob's is left", method: "GET", path: "/hello", status: 200, body: "Hello, ada, for the 1. time."},
	{name: "a right that ada has", method: "POST", path: "/publish/7", status: 200, body: "Published."},
	{name: "the account", method: "GET", path: "/accounts/", status: 200, body: "Where you are signed in"},
	{name: "a view that is not there", method: "GET", path: "/accounts/nowhere/", status: 404},
	{name: "ada signs out", method: "POST", path: "/accounts/logout/", status: 200, body: "signed out", header: [2]string{"Clear-Site-Data", `"cache", "storage"`}},
	{name: "and is nobody", method: "GET", path: "/hello", status: 302, location: "/accounts/login/?next=/hello"},
}

func TestRouters(t *testing.T) {
	for name, program := range map[string]func(*authhttp.Auth) http.Handler{"net/http": withNetHTTP, "chi": withChi, "gin": withGin, "echo": withEcho} {
		t.Run(name, func(t *testing.T) {
			srv := newServer(t, program)
			client := srv.Client()
			var err error
			if client.Jar, err = cookiejar.New(nil); err != nil {
				t.Fatal(err)
			}
			client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			for _, s := range steps {
				form, err := url.ParseQuery(s.form)
				if err != nil {
					t.Fatal(err)
				}
				req, err := http.NewRequestWithContext(t.Context(), s.method, srv.URL+s.path, strings.NewReader(form.Encode()))
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Accept", "text/html")
				req.Header.Set("Sec-Fetch-Site", "same-origin")
				if s.site != "" {
					req.Header.Set("Sec-Fetch-Site", s.site)
				}
				if s.method == "POST" {
					req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				}
				resp, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if err != nil {
					t.Fatal(err)
				}
				if got := resp.Header.Get("Location"); resp.StatusCode != s.status || got != s.location || !strings.Contains(string(body), s.body) {
					t.Errorf("%s: status %d, location %q, want %d, %q and %q in:\n%s", s.name, resp.StatusCode, got, s.status, s.location, s.body, body)
				}
				if s.header[0] != "" {
					if got := strings.Join(resp.Header.Values(s.header[0]), ", "); got != s.header[1] && !(s.header[1] != "" && strings.Contains(got, s.header[1])) {
						t.Errorf("%s: %s is %q, want %q", s.name, s.header[0], got, s.header[1])
					}
				}
			}
		})
	}
}

// Streams of gin ask their writer for something that is deprecated, and do not look whether it is there.
func TestStreamOfGin(t *testing.T) {
	srv := newServer(t, func(auth *authhttp.Auth) http.Handler {
		r := gin.New()
		r.GET("/stream", func(c *gin.Context) {
			if _, err := authhttp.User(c.Request); err != nil {
				t.Error(err)
			}
			n := 0
			c.Stream(func(w io.Writer) bool {
				n++
				c.SSEvent("tick", n)
				return n < 3
			})
		})
		return auth.Handler(r)
	})
	resp, err := srv.Client().Get(srv.URL + "/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 || strings.Count(string(body), "event:tick") != 3 || resp.Header.Get("Vary") != "Cookie" {
		t.Errorf("status %d, %q, %v, %v", resp.StatusCode, body, resp.Header, err)
	}
}

// TestDocs makes sure that docs/ROUTERS.md shows what is tested here.
func TestDocs(t *testing.T) {
	data, err := os.ReadFile("../../docs/ROUTERS.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"nethttp.go", "chi.go", "gin.go", "echo.go"} {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		_, code, ok := strings.Cut(string(source), "\n)\n\n") // behind the imports
		if !ok || !strings.Contains(code, "auth.Handler(") {
			t.Fatalf("%s has no program", name)
		}
		if !strings.Contains(string(data), "```go\n"+code+"```") {
			t.Errorf("docs/ROUTERS.md does not show %s as it is", name)
		}
	}
}
