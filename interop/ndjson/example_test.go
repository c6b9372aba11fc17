package ndjson_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/interop"
	"github.com/latchbolt-go/latchbolt/interop/ndjson"
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

	report, err := ndjson.Import(ctx, eng, strings.NewReader(`
{"type":"permission","app":"blog","codename":"edit","name":"Can edit posts"}
{"type":"group","name":"editors","permissions":["blog.edit"]}
{"username":"ada","date_joined":"2024-05-06T07:08:09Z","groups":["editors"]}
{"username":"bob","date_joined":"2024-05-06T07:08:09Z","password":"correct horse battery staple"}
`), nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(report.Users, "users,", report.Groups, "group,", report.Permissions, "permission,", report.Hashed, "password hashed")

	if _, err := ndjson.Export(ctx, eng, os.Stdout, nil); err != nil {
		log.Fatal(err)
	}

	_, err = ndjson.Import(ctx, eng, strings.NewReader(`{"username":"eve"}
{"username":"mallory","is_supeuser":true}
`), nil)
	var line *interop.LineError
	if errors.As(err, &line) {
		fmt.Println(err)
	}
	// Output:
	// 2 users, 1 group, 1 permission, 1 password hashed
	// {"type":"permission","id":1,"app":"blog","model":"","codename":"edit","name":"Can edit posts"}
	// {"type":"group","id":1,"name":"editors","permissions":["blog.edit"]}
	// {"type":"user","id":1,"username":"ada","email":"","first_name":"","last_name":"","is_active":true,"is_staff":false,"is_superuser":false,"date_joined":"2024-05-06T07:08:09Z","last_login":null,"groups":["editors"],"user_permissions":[]}
	// {"type":"user","id":2,"username":"bob","email":"","first_name":"","last_name":"","is_active":true,"is_staff":false,"is_superuser":false,"date_joined":"2024-05-06T07:08:09Z","last_login":null,"groups":[],"user_permissions":[]}
	// ndjson: importing: line 2: is_supeuser: there is no field of that name
}
