package main

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/authhttp"
	"github.com/latchbolt-go/latchbolt/console"
)

//go:embed templates static
var files embed.FS

type pages map[string]*template.Template

func parsePages() pages {
	ps := make(pages)
	for _, name := range []string{"board", "edit", "delete"} {
		ps[name] = template.Must(template.ParseFS(files, "templates/layout.html", "templates/"+name+".html"))
	}
	return ps
}

// handler puts the pages of the program, those of latchbolt and the console under one roof.
func (a *app) handler() http.Handler {
	con := &console.Console{Auth: a.auth, Actions: []string{"post."}}
	mayAdd := a.auth.RequirePerm("board.add_post")
	mux := http.NewServeMux()
	mux.Handle("/accounts/", a.auth.Accounts())
	mux.Handle("/admin/", con.Handler())
	mux.Handle("GET /static/{name}", http.FileServerFS(files)) // no listing of the folder
	mux.Handle("GET /{$}", a.page(a.list))
	mux.Handle("GET /posts/new/{$}", mayAdd(a.page(a.newPost)))
	mux.Handle("POST /posts/new/{$}", mayAdd(a.page(a.addPost)))
	mux.Handle("GET /posts/{id}/edit/{$}", a.onPost("change", a.editPost))
	mux.Handle("POST /posts/{id}/edit/{$}", a.onPost("change", a.changePost))
	mux.Handle("GET /posts/{id}/delete/{$}", a.onPost("delete", a.askDelete))
	mux.Handle("POST /posts/{id}/delete/{$}", a.onPost("delete", a.deletePost))
	mux.Handle("/", a.page(func(*request) error { return latchbolt.ErrNotFound }))
	return a.auth.Handler(mux)
}

// A request is one request by somebody who is signed in.
type request struct {
	*http.Request
	w  http.ResponseWriter
	id latchbolt.Identity
}

// page answers with what fn does. An error becomes a page that says no more than it should.
func (a *app) page(fn func(*request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, err := authhttp.User(r)
		if err == nil {
			err = fn(&request{Request: r, w: w, id: id})
		}
		if err != nil {
			a.auth.Fail(w, r, err)
		}
	})
}

// onPost lets through who may do something to the one post that the path names: by a grant for all posts, or for this one.
func (a *app) onPost(verb string, fn func(*request, post) error) http.Handler {
	return a.page(func(r *request) error {
		id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
		if err != nil {
			return errNoPost
		}
		p, err := a.board.get(id)
		if err != nil {
			return err
		}
		ok, err := a.may(r.Context(), r.id, verb, p)
		if err == nil && !ok {
			err = latchbolt.ErrForbidden
		}
		if err != nil {
			return err
		}
		return fn(r, p)
	})
}

func (a *app) may(ctx context.Context, id latchbolt.Identity, verb string, p post) (bool, error) {
	return a.eng.HasPerm(ctx, id, latchbolt.Perm("board."+verb+"_post"), p.object())
}

// A view is the data of a template.
type view struct {
	Title  string
	User   latchbolt.Identity
	MayAdd bool
	Notice string // good news
	Logout string // where signing out is posted to

	Posts []shown           // for the board
	Post  post              // for the other pages
	Wrong map[string]string // what is wrong with the form, by field; under "" with all of it
}

// Shown is a post with what the visitor may do to it.
type shown struct {
	post
	MayChange, MayDelete bool
}

// Paragraphs are the text of a post as it is shown.
func (s shown) Paragraphs() []string { return strings.Split(s.Text, "\n\n") }
func (s shown) Day() string          { return s.Created.UTC().Format("2 January 2006, 15:04 UTC") }
func (s shown) Stamp() string        { return s.Created.UTC().Format(time.RFC3339) }

// show answers with a page, which is made before anything of it is sent.
func (a *app) show(r *request, status int, name string, v *view) (err error) {
	v.User, v.Logout = r.id, a.auth.Path("logout/")
	if v.MayAdd, err = a.eng.HasPerm(r.Context(), r.id, "board.add_post"); err != nil {
		return err
	}
	// What the page before left for this one, once.
	if _, err := authhttp.Session(r.Request).Pop("notice", &v.Notice); err != nil {
		return err
	}
	var b bytes.Buffer
	if err := a.pages[name].ExecuteTemplate(&b, "layout.html", v); err != nil {
		slog.Error("a page failed", "page", name, "err", err)
		http.Error(r.w, "Something went wrong here.", http.StatusInternalServerError)
		return nil
	}
	r.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	r.w.WriteHeader(status)
	_, _ = r.w.Write(b.Bytes())
	return nil
}

// done leaves a notice for the board and goes there.
func (a *app) done(r *request, notice string) error {
	if err := authhttp.Session(r.Request).Set("notice", notice); err != nil {
		return err
	}
	http.Redirect(r.w, r.Request, "/", http.StatusSeeOther)
	return nil
}

func (a *app) list(r *request) error {
	v := &view{Title: "Notices"}
	for _, p := range a.board.all() {
		change, err := a.may(r.Context(), r.id, "change", p)
		if err != nil {
			return err
		}
		del, err := a.may(r.Context(), r.id, "delete", p)
		if err != nil {
			return err
		}
		v.Posts = append(v.Posts, shown{post: p, MayChange: change, MayDelete: del})
	}
	return a.show(r, http.StatusOK, "board", v)
}

// Sizes of a post in characters, and of a form in bytes.
const (
	maxTitle = 100
	maxText  = 5000
	maxForm  = 64 << 10
)

// form reads title and text into p and says what is wrong with them.
func (r *request) form(p *post) (wrong map[string]string) {
	wrong = make(map[string]string)
	r.Body = http.MaxBytesReader(r.w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		wrong[""] = "The form could not be read. A notice has at most 5000 characters."
		return wrong
	}
	p.Title = strings.TrimSpace(r.PostFormValue("title"))
	p.Text = strings.TrimSpace(strings.ReplaceAll(r.PostFormValue("text"), "\r\n", "\n"))
	for field, limit := range map[string]int{"title": maxTitle, "text": maxText} {
		value := p.Title
		if field == "text" {
			value = p.Text
		}
		switch n := utf8.RuneCountInString(value); {
		case n == 0:
			wrong[field] = "Please enter a " + field + "."
		case n > limit:
			wrong[field] = fmt.Sprintf("At most %d characters; these are %d.", limit, n)
		}
	}
	return wrong
}

func (a *app) newPost(r *request) error {
	return a.show(r, http.StatusOK, "edit", &view{Title: "New notice"})
}

// addPost stores a post and gives its author the rights on it.
func (a *app) addPost(r *request) error {
	p := post{Author: r.id.ID(), Name: r.id.Username(), Created: a.eng.Now().UTC()}
	if wrong := r.form(&p); len(wrong) > 0 {
		return a.show(r, http.StatusUnprocessableEntity, "edit", &view{Title: "New notice", Post: p, Wrong: wrong})
	}
	if err := a.publish(r.Context(), p); err != nil {
		return err
	}
	return a.done(r, "Your notice is on the board.")
}

// publish adds a post and grants its author what authors may. The post comes first: its identifier is then taken for good, so
// that no grant can be for another one.
func (a *app) publish(ctx context.Context, p post) error {
	p, err := a.board.add(p)
	if err != nil {
		return err
	}
	err = a.eng.Update(ctx, func(tx *latchbolt.Tx) error {
		return errors.Join(tx.Grant(p.Author, "board.change_post", p.object()), tx.Grant(p.Author, "board.delete_post", p.object()))
	})
	if err != nil {
		return errors.Join(err, a.board.remove(p.ID))
	}
	return nil
}

func (a *app) editPost(r *request, p post) error {
	return a.show(r, http.StatusOK, "edit", &view{Title: "Edit a notice", Post: p})
}

// changePost saves a post, unless somebody else did since the form was made: then it says what is there now, and asks again.
func (a *app) changePost(r *request, p post) (err error) {
	wrong := r.form(&p)
	if p.Edits, err = strconv.Atoi(r.PostFormValue("edits")); err != nil {
		p.Edits = -1 // of no state there is
	}
	if len(wrong) == 0 {
		if err = a.board.change(p); err == nil {
			return a.done(r, "The notice is changed.")
		}
		if !errors.Is(err, errChanged) {
			return err
		}
		now, err := a.board.get(p.ID)
		if err != nil {
			return err
		}
		wrong[""] = "Somebody else changed this notice meanwhile. It now reads: “" + now.Title + "” – " + now.Text + " Save again if yours shall count."
		p.Edits = now.Edits
	}
	return a.show(r, http.StatusUnprocessableEntity, "edit", &view{Title: "Edit a notice", Post: p, Wrong: wrong})
}

func (a *app) askDelete(r *request, p post) error {
	return a.show(r, http.StatusOK, "delete", &view{Title: "Delete a notice?", Post: p})
}

// deletePost removes a post, then all that was granted for it. Identifiers are not given out again, so a grant that stays behind
// when the program is stopped in between is good for nothing.
func (a *app) deletePost(r *request, p post) error {
	if err := a.board.remove(p.ID); err != nil {
		return err
	}
	err := a.eng.Update(r.Context(), func(tx *latchbolt.Tx) error {
		for _, perm := range []latchbolt.Perm{"board.change_post", "board.delete_post"} {
			held, err := tx.Holders(perm)
			if err != nil {
				return err
			}
			for _, g := range held {
				if g.Object != p.object() {
					continue
				}
				if err := tx.Revoke(g.Subject, perm, g.Object); err != nil {
					return err
				}
			}
		}
		return tx.Record(latchbolt.AuditEntry{Action: "post.delete", Actor: r.id.ID(), User: p.Author, Username: p.Name, Addr: authhttp.ClientAddr(r.Request), Detail: string(p.object())})
	})
	if err != nil {
		return err
	}
	return a.done(r, "The notice is deleted.")
}
