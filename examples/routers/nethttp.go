package routers

import (
	"net/http"

	"github.com/latchbolt-go/latchbolt/authhttp"
)

func withNetHTTP(auth *authhttp.Auth) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", start)
	mux.Handle("GET /hello", auth.RequireLogin(hello(auth)))
	mux.Handle("POST /publish/{id}", auth.RequirePerm("news.add_item")(http.HandlerFunc(publish)))
	mux.Handle("/accounts/", auth.Accounts())
	return auth.Handler(mux)
}
