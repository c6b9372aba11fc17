package console_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/latchbolt-go/latchbolt"
)

var formField = regexp.MustCompile(`<input [^>]*name="([^"]+)"[^>]*>`)
var formValue = regexp.MustCompile(` value="([^"]*)"`)

// filled is the form of a page as a browser sends it.
func filled(page string) url.Values {
	f := make(url.Values)
	for _, m := range formField.FindAllStringSubmatch(page, -1) {
		box := regexp.MustCompile(`type="checkbox"`).MatchString(m[0])
		if regexp.MustCompile(` disabled`).MatchString(m[0]) || box && !regexp.MustCompile(` checked`).MatchString(m[0]) {
			continue
		}
		value := ""
		if v := formValue.FindStringSubmatch(m[0]); v != nil {
			value = v[1]
		} else if box {
			value = "on"
		}
		f.Add(m[1], value)
	}
	return f
}

// Who is made a superuser while a form is open does not take away by it what its locked boxes could not say.
func TestPromotedWhileTheFormIsOpen(t *testing.T) {
	w := newWorld(t)
	w.holding("auth.change_user", "auth.view_user", "blog.add_post")
	path := fmt.Sprintf("/admin/users/%d/edit/", uint64(w.aide.ID))
	rec := w.get(w.staff, path)
	if rec.Code != http.StatusOK {
		t.Fatalf("the form: %d", rec.Code)
	}
	form := filled(rec.Body.String())
	must(t, "promoting", w.eng.UpdateUser(t.Context(), w.staff.ID, func(u *latchbolt.User) error { u.Superuser = true; return nil }))
	form.Set("first_name", strings.Repeat("n", 200))
	rec = w.post(w.staff, path, form)
	if again := filled(rec.Body.String()); rec.Code != http.StatusUnprocessableEntity || again.Get("is_staff") != "on" || again.Get("is_active") != "on" || again.Get("email") != w.aide.Email || again.Get("username") != "aide" {
		t.Errorf("the form again: %d %v", rec.Code, again)
	}
	form.Set("first_name", "Ann")
	if rec := w.post(w.staff, path, form); rec.Code != http.StatusSeeOther {
		t.Fatalf("saving: %d %s", rec.Code, rec.Body)
	}
	u, err := w.eng.User(t.Context(), w.aide.ID)
	must(t, "user", err)
	if !u.Staff || u.Inactive || u.FirstName != "Ann" {
		t.Errorf("got %+v", u)
	}
	// The form that has the boxes can untick them.
	form = filled(w.get(w.boss, path).Body.String())
	form.Del("is_staff")
	if rec := w.post(w.boss, path, form); rec.Code != http.StatusSeeOther {
		t.Fatalf("unticking: %d %s", rec.Code, rec.Body)
	}
	u, err = w.eng.User(t.Context(), w.aide.ID)
	must(t, "user", err)
	if u.Staff || u.Inactive {
		t.Errorf("got %+v", u)
	}
}
