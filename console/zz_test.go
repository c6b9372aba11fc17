package console_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/authtest"
)

var _ = url.Parse
var _ = time.Now
var _ latchbolt.Perm
var _ = authtest.User

func TestZDates(t *testing.T) {
	w := newWorld(t)
	w.get(w.boss, "/admin/users/1/")
	for _, q := range []string{"", "since=0001-01-01", "since=1600-01-01", "since=1970-01-01", "until=9999-12-31", "until=2300-01-01", "since=9999-12-31", "until=1600-01-01", "until=0001-01-01","since=2300-01-01","until=2026-03-01", "from=1", "from=9223372036854775807"} {
		rec := w.get(w.boss, "/admin/audit/?"+q)
		t.Log(q, rec.Code, strings.Count(rec.Body.String(), "<tr>"))
		rec = w.get(w.boss, "/admin/audit/export/?"+q)
		if q[:min(4,len(q))] != "from" { t.Log(q, rec.Code, strings.Count(rec.Body.String(), "\n")) }
	}
}

func TestZPerms(t *testing.T) {
	w := newWorld(t)
	for _, p := range []latchbolt.Permission{{App: "", Codename: "x"}, {App: ".", Codename: ""}, {App: "..", Codename: "x/y"}, {App: "a", Codename: "../../x"}, {App: "a", Codename: "%2e%2e"}, {App: "a", Codename: "b c\u202e+&?#"}, {App: "a/b", Codename: "c"}, {App:"a", Codename:"."}, {App:"é", Codename:"ü"}, {App:"a", Codename:"\\"}, {App:"a", Codename:";"}} {
		err := w.eng.Define(t.Context(), p)
		t.Log(p, err)
	}
	rec := w.get(w.boss, "/admin/permissions/")
	c := &htmlCheck{ids: make(map[string]int)}
	c.read(rec.Body.String())
	for _, l := range c.links {
		if strings.Contains(l, "permissions/") {
			rec := w.get(w.boss, l)
			if rec.Code != 200 {
				t.Log(l, rec.Code, rec.Header().Get("Location"))
			}
		}
	}
}
