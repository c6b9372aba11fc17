package routers

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/latchbolt-go/latchbolt/authhttp"
)

// ginRequire makes middleware of gin from one of net/http: the rest of the chain runs if and only if the middleware lets the
// request through.
func ginRequire(require func(http.Handler) http.Handler) gin.HandlerFunc {
	return func(c *gin.Context) {
		passed := false
		require(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			passed = true
			c.Request = r
			c.Next()
		})).ServeHTTP(c.Writer, c.Request)
		if !passed {
			c.Abort()
		}
	}
}

func withGin(auth *authhttp.Auth) http.Handler {
	r := gin.New()
	r.GET("/", gin.WrapF(start))
	r.GET("/hello", ginRequire(auth.RequireLogin), gin.WrapF(hello(auth)))
	r.POST("/publish/:id", ginRequire(auth.RequirePerm("news.add_item")), gin.WrapF(publish))
	r.Any("/accounts/*view", gin.WrapH(auth.Accounts()))
	return auth.Handler(r)
}
