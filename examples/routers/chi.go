package routers

import (
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/latchbolt-go/latchbolt/authhttp"
)

func withChi(auth *authhttp.Auth) http.Handler {
	r := chi.NewRouter()
	r.Get("/", start)
	r.With(auth.RequireLogin).Get("/hello", hello(auth))
	r.With(auth.RequirePerm("news.add_item")).Post("/publish/{id}", publish)
	r.Handle("/accounts/*", auth.Accounts()) // not Mount, which is fine too: the path is left as it is
	return auth.Handler(r)
}
