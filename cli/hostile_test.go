package cli_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/latchbolt-go/latchbolt"
)

// evil clears the screen, turns the direction of writing, and forges a line.
const evil = "x\x1b[2J\u202ey\u009b31m"

// TestNobodyElsesTextReachesTheTerminal puts control sequences wherever a text of somebody else's is kept, and looks at
// what every verb that shows them writes for people.
func TestNobodyElsesTextReachesTheTerminal(t *testing.T) {
	onRoutes(t, config(), evilFile, func(t *testing.T, sh *shell) {
		for _, c := range []struct {
			code int
			args []string
		}{
			{0, []string{"user", "list"}},
			{0, []string{"user", "show", "ada"}},
			{0, []string{"group", "list"}},
			{0, []string{"group", "show", "id:1"}},
			{0, []string{"group", "add", "id:1", "ada"}},
			{0, []string{"group", "rename", "id:1", evil + "2"}},
			{0, []string{"perm", "list"}},
			{0, []string{"perm", "who", "blog.add_post", evil}},
			{0, []string{"perm", "explain", "ada", "blog.add_post", evil}},
			{0, []string{"perm", "check", "ada", "blog.add_post", evil}},
			{0, []string{"perm", "revoke", "group:" + evil + "2", "blog.add_post", evil}},
			{0, []string{"session", "list", "ada"}},
			{0, []string{"group", "delete", "id:1", "--yes"}},
			{3, []string{"user", "show", evil}},
			{3, []string{"group", "show", evil}},
			{3, []string{"perm", "who", evil}},
			{3, []string{"session", "show", evil}},
			{2, []string{"user", "list", "--" + evil}},
			{2, []string{"user", "list", "--order", evil}},
			{2, []string{"user", evil}},
			{2, []string{evil}},
			{2, []string{"user", "reset-link", "ada", "--url", evil}},
			{4, []string{"perm", "define", evil}},
			{4, []string{"user", "rename", "ada", evil}},
			{2, []string{"user", "delete", "ada"}},
			{2, []string{"perm", "grant", evil, evil}},
		} {
			code, out, errOut := sh.run(t, "", c.args...)
			if code != c.code {
				t.Errorf("%q: exit code %d, want %d: %s", c.args, code, c.code, errOut)
			}
			if strings.ContainsAny(out+errOut, "\x1b\u202e\u009b\r\x00") {
				t.Errorf("%q writes control characters: %q %q", c.args, out, errOut)
			}
		}
	})
}

// TestNobodyElsesTextReachesTheTerminalAsJSON does so with --json, whose documents say the same all the same.
func TestNobodyElsesTextReachesTheTerminalAsJSON(t *testing.T) {
	const tag = "\U000e0041" // invisible, and behind U+FFFF
	onRoutes(t, config(), evilFile, func(t *testing.T, sh *shell) {
		sh.want(t, 1, "wrong", "authenticate", evil+tag, "--password-stdin", "--json")
		for _, args := range [][]string{
			{"session", "list", "ada"}, {"user", "show", "ada"}, {"group", "list"}, {"perm", "list"}, {"audit", "--user", evil + tag},
		} {
			out := sh.want(t, 0, "", append(args, "--json")...)
			if strings.ContainsAny(out, "\x1b\x7f\u202e\u009b\r"+tag) {
				t.Errorf("%q writes control characters: %q", args, out)
			}
			var v any
			if err := json.Unmarshal([]byte(out), &v); err != nil || !strings.Contains(fmt.Sprint(v), evil) {
				t.Errorf("%q: %v: %q", args, err, out)
			}
		}
	})
}

// TestLongArguments: errors that repeat an argument longer than a frame of the control protocol have their exit code on both routes.
func TestLongArguments(t *testing.T) {
	long := strings.Repeat("x\x01", 50<<10)
	onRoutes(t, config(), evilFile, func(t *testing.T, sh *shell) {
		for _, c := range []struct {
			code int
			args []string
		}{
			{2, []string{"audit", "--since", long}},
			{3, []string{"perm", "who", long}},
			{3, []string{"perm", "grant", "user:ada", long}},
			{3, []string{"user", "show", long}},
			{4, []string{"perm", "define", long}},
		} {
			if code, _, errOut := sh.run(t, "", c.args...); code != c.code {
				t.Errorf("%q: exit code %d, want %d: %.200s", c.args[:len(c.args)-1], code, c.code, errOut)
			}
		}
	})
}

// TestIdentifyLongLine: what was found out before a line that is too long is not lost.
func TestIdentifyLongLine(t *testing.T) {
	sh := &shell{cfg: config()}
	out := sh.want(t, 4, "$1$abcdefgh$KGQLLkAjjcKLnhMD5Zg/n0\n"+strings.Repeat("x", 128<<10), "hash", "identify")
	if !strings.HasPrefix(out, "1: md5_crypt") {
		t.Errorf("it says %q", out)
	}
}

func evilFile(t *testing.T, path string) {
	t.Helper()
	ctx := context.Background()
	cfg := config()
	cfg.Create = true
	eng, err := latchbolt.Open(path, cfg)
	if err != nil {
		t.Fatal(err)
	}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	u := &latchbolt.User{Username: "ada", FirstName: evil}
	check(eng.CreateUser(ctx, u, oldPassword))
	g, err := eng.CreateGroup(ctx, evil)
	check(err)
	check(eng.AddToGroup(ctx, u.ID, g))
	check(eng.Define(ctx, latchbolt.Permission{App: "blog", Model: evil, Codename: "add_post", Name: evil}))
	check(eng.Grant(ctx, g, "blog.add_post", evil))
	check(eng.Grant(ctx, u.ID, "blog.add_post", evil))
	id, err := eng.Identity(ctx, u.ID)
	check(err)
	_, err = eng.Login(ctx, id, latchbolt.LoginOptions{Name: evil, Client: latchbolt.Client{Addr: netip.MustParseAddr("::1%" + "eth0"), Agent: evil}})
	check(err)
	check(eng.Close())
}
