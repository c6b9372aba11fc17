package htpasswd_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/interop/htpasswd"
)

func Example() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	eng, err := latchbolt.Open(filepath.Join(dir, "app.db"), &latchbolt.Config{Create: true})
	if err != nil {
		log.Fatal(err)
	}
	defer eng.Close()
	ctx := context.Background()

	report, err := htpasswd.Import(ctx, eng, strings.NewReader(`# the wiki's users
ada:$apr1$FDuTMm/Q$vqoEDGSfMO9Sxm0Xo70OO1
bob:Ip9/Q3cMvQ2tM
`), nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(report.Users, "user")
	for _, n := range report.Skipped {
		fmt.Println("skipped:", n)
	}
	_, err = eng.Authenticate(ctx, latchbolt.Password{Username: "ada", Password: "correct horse battery staple"})
	fmt.Println("ada logs in:", err == nil)
	// Output:
	// 1 user
	// skipped: line 3, user "bob": the password is hashed with DES (crypt), or is a plain one that looks like that, which nothing here verifies
	// ada logs in: true
}
