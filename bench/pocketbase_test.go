package bench

import (
	"testing"

	"github.com/pocketbase/pocketbase/core"
	_ "github.com/pocketbase/pocketbase/migrations"
)

// pocketbaseSessions are tokens of PocketBase, which runs in this process, without its HTTP server. Its user collection has
// one record for each user.
func pocketbaseSessions(t testing.TB) func(int) string {
	app := core.NewBaseApp(core.BaseAppConfig{DataDir: t.TempDir()})
	check(t, app.Bootstrap())
	t.Cleanup(func() { check(t, app.ResetBootstrapState()) })
	check(t, app.RunAllMigrations())
	users, err := app.FindCollectionByNameOrId("users")
	check(t, err)
	tokens := make([]string, usersInUse)
	check(t, app.RunInTransaction(func(tx core.App) error {
		for i := range tokens {
			r := core.NewRecord(users)
			r.SetEmail(userOf(i) + "@example.org")
			r.Set("name", userOf(i))
			r.RefreshTokenKey()
			if err := tx.SaveNoValidate(r); err != nil {
				return err
			}
			var err error
			if tokens[i], err = r.NewAuthToken(); err != nil {
				return err
			}
		}
		return nil
	}))
	return func(i int) string {
		r, err := app.FindAuthRecordByToken(tokens[i%usersInUse], core.TokenTypeAuth)
		check(t, err)
		return r.GetString("name")
	}
}
