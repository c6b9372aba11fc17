package console_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/authhttp"
	"github.com/latchbolt-go/latchbolt/console"
)

func Example() {
	dir, err := os.MkdirTemp("", "latchbolt")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	eng, err := latchbolt.Open(filepath.Join(dir, "app.db"), &latchbolt.Config{Create: true})
	if err != nil {
		log.Fatal(err)
	}
	defer eng.Close()
	if err := eng.DefineAdmin(context.Background()); err != nil {
		log.Fatal(err)
	}

	auth := &authhttp.Auth{Engine: eng, BaseURL: "https://intranet.example.org"}
	con := &console.Console{Auth: auth}
	mux := http.NewServeMux()
	mux.Handle("/accounts/", auth.Accounts())
	mux.Handle("/admin/", con.Handler())
	handler := auth.Handler(mux)

	r := httptest.NewRequest("GET", "https://intranet.example.org/admin/users/", nil)
	r.Header.Set("Accept", "text/html")
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Header().Get("Location"))
	// Output: 302 /accounts/login/?next=/admin/users/
}
