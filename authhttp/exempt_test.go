package authhttp_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/latchbolt-go/latchbolt/authhttp"
	"github.com/latchbolt-go/latchbolt/authtest"
)

// With LoginRequired nothing is reached by an address that some router behind takes for another one than the exempt one.
func TestLoginRequiredAndOddPaths(t *testing.T) {
	a := &authhttp.Auth{Engine: authtest.New(t, nil), LoginRequired: true, Exempt: []string{"GET /public/", "GET /about", "GET /files/{name}", "GET /people/{who}/card"}}
	h := a.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "reached") }))
	ask := func(method, target string) int {
		r := httptest.NewRequest(method, base+target, nil)
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}
	for _, path := range []string{"/public/", "/public/a", "/about", "/public/a%20b", "/public/a..b", "/public/a%252Fb", "/files/a%20b", "/people/ada/card", "/accounts/login/", "/accounts/static/x"} {
		if got := ask("GET", path); got != http.StatusOK {
			t.Errorf("GET %s is exempt and gave %d", path, got)
		}
	}
	if got := ask("HEAD", "/about"); got != http.StatusOK {
		t.Errorf("HEAD of what is exempt for GET gave %d", got)
	}
	for _, path := range []string{
		"/", "/public", "/PUBLIC/", "/public;x/", "/public/../secret", "/public/%2e%2e/secret", "/public/%2E./secret", "/public/..%2fsecret", "/public%2Fsecret",
		"/public/..%5csecret", `/public/..\secret`, "/public/%5c..%5csecret", "//public/a", "/./public/a", "/public//a", "/public/./a", "/%70ublic/../a", "/about/", "/about/x", "/about%2f",
		"/files/a/secret", "/files/a%2Fsecret", "/files/a%2fsecret", "/files/a%2F", "/people/secret%2Fada/card", "/public/a%2fsecret",
		"/accounts/", "/accounts/login", "/accounts/login/x", "/accounts/static/%2e%2e/", "/accounts/password/reset/%2e%2e/change/", "/accounts/password/reset/..%5cchange/", "/accounts/confirm/",
	} {
		if got := ask("GET", path); got == http.StatusOK {
			t.Errorf("GET %s was reached without a login", path)
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "get", "X"} {
		if got := ask(method, "/public/"); got == http.StatusOK {
			t.Errorf("%s /public/ was reached, which is exempt for GET only", method)
		}
	}
}

// What a program exempts may overlap with the views that are exempt in any case.
func TestExemptOverViews(t *testing.T) {
	s := newSite(t, &authhttp.Auth{LoginRequired: true, Exempt: []string{"GET /"}}, nil)
	b := s.browser()
	want(t, "reading", b.get("/plain"), 200, "plain")
	want(t, "changing", b.post("/plain"), 302)
	want(t, "a view that needs a login by itself", b.get("/accounts/"), 302)
	authtest.User(t, s.eng, "ada")
	b.login("ada") // the form is sent to a view that is exempt
	want(t, "changing, signed in", b.post("/plain"), 200, "plain")
	if err := (&authhttp.Auth{Engine: s.eng, Exempt: []string{"/accounts/static/", "/accounts/login/{$}"}}).Check(); err != nil {
		t.Errorf("a view that is exempt in any case: %v", err)
	}
}
