package routers

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/latchbolt-go/latchbolt/authhttp"
)

func withEcho(auth *authhttp.Auth) http.Handler {
	e := echo.New()
	e.GET("/", echo.WrapHandler(http.HandlerFunc(start)))
	e.GET("/hello", echo.WrapHandler(hello(auth)), echo.WrapMiddleware(auth.RequireLogin))
	e.POST("/publish/:id", echo.WrapHandler(http.HandlerFunc(publish)), echo.WrapMiddleware(auth.RequirePerm("news.add_item")))
	e.Any("/accounts/*", echo.WrapHandler(auth.Accounts()))
	return auth.Handler(e)
}
