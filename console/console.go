package console

import (
	"embed"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/authhttp"
	"github.com/latchbolt-go/latchbolt/internal/webui"
)

// A Console says how the pages are set up. Only Auth is required. The fields must not be changed after the first
// call of Handler, and a Console must not be copied then.
type Console struct {
	// Auth is what signs people in. Its SendReset, if set, sends the links of the console too; its
	// BaseURL is what links are made of.
	Auth *authhttp.Auth
	// Prefix is the path under which Handler is mounted. It starts and ends with a slash. "" means "/admin/".
	Prefix string
	// Actions are the program's own actions in the audit trail, see [latchbolt.Engine.Record], that the trail can be filtered by: each
	// exactly, or all that start with it if it ends in ".". Nil means none but the engine's.
	Actions []string
	// Logger is told what no visitor can be told. Nil means slog.Default.
	Logger *slog.Logger

	pages map[string]*template.Template
	log   *slog.Logger

	mu       sync.Mutex // guards the two below
	overview *latchbolt.Overview
	taken    time.Time
}

//go:embed templates/*.html
var templates embed.FS

// Handler returns the pages. It panics if a field of c or of its Auth is wrong, as that is found when a program is set up.
func (c *Console) Handler() http.Handler {
	if c.Auth == nil {
		panic("console: Console.Auth is nil")
	}
	if err := c.Auth.Check(); err != nil {
		panic(err)
	}
	if c.Prefix == "" {
		c.Prefix = "/admin/"
	}
	if !strings.HasPrefix(c.Prefix, "/") || !strings.HasSuffix(c.Prefix, "/") || strings.ContainsAny(c.Prefix, "{}?#%\\ \"") || strings.Contains(c.Prefix, "//") {
		panic(fmt.Sprintf("console: Console.Prefix %q has to be a path that starts and ends with a slash", c.Prefix))
	}
	if c.log = c.Logger; c.log == nil {
		c.log = slog.Default()
	}
	var err error
	if c.pages, err = parseTemplates(); err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	for _, rt := range c.routes() {
		mux.Handle(c.Prefix+rt.path, c.Auth.RequireLogin(c.page(rt)))
	}
	mux.HandleFunc(c.Prefix+"static/", serveStatic)
	mux.Handle(c.Prefix, c.Auth.RequireLogin(c.page(&route{get: func(*view) error { return errNoPage }})))
	if c.Prefix != "/" {
		mux.HandleFunc("/", c.misplaced)
	}
	return c.Auth.Handler(mux)
}

// misplaced answers what does not begin with Prefix, and tells the log why nothing else is found either.
func (c *Console) misplaced(w http.ResponseWriter, r *http.Request) {
	c.log.Error("console: Console.Handler got a request that is not under Console.Prefix: mount it there, without http.StripPrefix, or set Console.Prefix", "path", r.URL.Path, "prefix", c.Prefix)
	http.NotFound(w, r)
}

func parseTemplates() (map[string]*template.Template, error) {
	base, err := webui.Parse(funcs)
	if err == nil {
		base, err = base.ParseFS(templates, "templates/parts.html")
	}
	if err != nil {
		return nil, err
	}
	files, err := templates.ReadDir("templates")
	if err != nil {
		return nil, err
	}
	all := make(map[string]*template.Template)
	for _, f := range files {
		name := strings.TrimSuffix(f.Name(), ".html")
		if name == "parts" {
			continue
		}
		t, err := base.Clone()
		if err == nil {
			t, err = t.ParseFS(templates, "templates/"+f.Name())
		}
		if err != nil {
			return nil, err
		}
		all[name] = t
	}
	return all, nil
}

// A route is one address with all that requests to it may say. What is not listed is refused.
type route struct {
	path      string
	get, post func(*view) error
	query     []string // parameters of GET
	form      []string // fields of POST; one that ends in "*" may come several times
	about     about    // what {id} is
	fresh     bool     // the password must have been given lately
}

type about uint8

const (
	aboutNothing about = iota
	aboutUser
	aboutGroup
)

func (c *Console) routes() []*route {
	userFields := []string{"username", "email", "first_name", "last_name", "is_active", "is_staff", "is_superuser", "has*", "groups*", "has_groups"}
	return []*route{
		{path: "{$}", get: (*view).dashboard},

		{path: "users/{$}", get: (*view).users, query: []string{"q", "active", "staff", "superuser", "group", "sort", "from", "live", "done"}},
		{path: "users/add/{$}", get: (*view).addUser, post: (*view).createUser, form: append([]string{"password", "password_again", "how"}, userFields...), fresh: true},
		{path: "users/bulk/{$}", post: (*view).bulk, form: []string{"user*", "action", "group", "confirm", "back"}, fresh: true},
		{path: "users/{id}/{$}", get: (*view).user, about: aboutUser, query: []string{"done"}},
		{path: "users/{id}/edit/{$}", get: (*view).editUser, post: (*view).updateUser, form: append([]string{"version"}, userFields...), about: aboutUser, fresh: true},
		{path: "users/{id}/permissions/{$}", get: (*view).userPermissions, post: (*view).setUserPermissions, query: []string{"done", "show"}, form: []string{"perm*", "version"}, about: aboutUser},
		{path: "users/{id}/delete/{$}", get: (*view).askDeleteUser, post: (*view).deleteUser, form: []string{"version"}, about: aboutUser, fresh: true},
		{path: "users/{id}/password/{$}", get: (*view).askPassword, post: (*view).setPassword, form: []string{"password", "password_again"}, about: aboutUser, fresh: true},
		{path: "users/{id}/reset/{$}", get: (*view).askReset, post: (*view).reset, form: []string{"how"}, about: aboutUser, fresh: true},
		{path: "users/{id}/unlock/{$}", post: (*view).unlock, about: aboutUser},
		{path: "users/{id}/sessions/{$}", get: (*view).userSessions, post: (*view).endUserSessions, query: []string{"done"}, form: []string{"session", "all"}, about: aboutUser},

		{path: "groups/{$}", get: (*view).groups, query: []string{"done"}},
		{path: "groups/add/{$}", get: (*view).addGroup, post: (*view).createGroup, form: []string{"name"}},
		{path: "groups/{id}/{$}", get: (*view).group, query: []string{"done", "from"}, about: aboutGroup},
		{path: "groups/{id}/edit/{$}", get: (*view).editGroup, post: (*view).renameGroup, form: []string{"name", "version"}, about: aboutGroup},
		{path: "groups/{id}/permissions/{$}", get: (*view).groupPermissions, post: (*view).setGroupPermissions, query: []string{"done"}, form: []string{"perm*", "version"}, about: aboutGroup},
		{path: "groups/{id}/members/{$}", post: (*view).changeMember, form: []string{"add", "remove"}, about: aboutGroup, fresh: true},
		{path: "groups/{id}/delete/{$}", get: (*view).askDeleteGroup, post: (*view).deleteGroup, form: []string{"version"}, about: aboutGroup, fresh: true},

		{path: "permissions/{$}", get: (*view).permissions},
		{path: "permissions/{perm}/{$}", get: (*view).permission, query: []string{"from"}},

		{path: "sessions/{$}", get: (*view).sessions, query: []string{"from"}},
		{path: "audit/{$}", get: (*view).audit, query: []string{"action", "user", "outcome", "since", "until", "from"}},
		{path: "audit/export/{$}", get: (*view).export, query: []string{"action", "user", "outcome", "since", "until", "format"}, fresh: true},
	}
}

var (
	errNoPage     = errors.New("console: no such page")
	errBadRequest = errors.New("console: the request says something that it cannot say")
)
