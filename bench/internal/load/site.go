// Package load puts the notice board of examples/intranet under load: the program as it is, in a process of its own, over HTTP on loopback.
package load

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/latchbolt-go/latchbolt"
)

// How many people the board has. Every other one may add notices.
const people = 200

const password = "a rather long password"

// A Site is a running board with its accounts in a temporary folder. Use [Start].
type Site struct {
	url    string
	dir    string
	cmd    *exec.Cmd
	log    bytes.Buffer // what the program says on standard error
	client *http.Client
}

// Start builds the example, makes the accounts and starts it. Stop has to be called at the end.
func Start(ctx context.Context) (s *Site, err error) {
	s = &Site{client: &http.Client{
		Transport:     &http.Transport{MaxIdleConnsPerHost: 256},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       time.Minute,
	}}
	if s.dir, err = os.MkdirTemp("", "latchbolt-load-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(s.dir))
		}
	}()
	binary, err := s.build(ctx)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(s.dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		return nil, err
	}
	if err := accounts(ctx, filepath.Join(data, "accounts.db")); err != nil {
		return nil, fmt.Errorf("making the accounts: %w", err)
	}
	s.cmd = exec.Command(binary, "--addr", "127.0.0.1:0")
	s.cmd.Env = append(os.Environ(), "INTRANET="+data)
	s.cmd.Stderr = &s.log
	endWithUs(s.cmd)
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	address, ok := strings.CutPrefix(strings.TrimSpace(line), "Open ")
	if err != nil || !ok {
		return nil, errors.Join(fmt.Errorf("the board did not start: it says %q", line), err, s.end())
	}
	s.url = strings.TrimSuffix(address, "/")
	return s, nil
}

// build makes the program anew, from the source beside this one.
func (s *Site) build(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/latchbolt-go/latchbolt").Output()
	if err != nil {
		return "", fmt.Errorf("looking for the example: %w", err)
	}
	binary := filepath.Join(s.dir, "intranet")
	if runtime.GOOS == "windows" {
		binary += ".exe"
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, "./examples/intranet")
	cmd.Dir = strings.TrimSpace(string(out))
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the example: %w\n%s", err, out)
	}
	return binary, nil
}

// accounts makes a file as the board makes it when it starts for the first time, with people in it.
func accounts(ctx context.Context, path string) (err error) {
	eng, err := latchbolt.Open(path, &latchbolt.Config{Create: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, eng.Close()) }()
	h, err := eng.HashPassword(ctx, password)
	if err != nil {
		return err
	}
	return eng.Update(ctx, func(tx *latchbolt.Tx) error {
		for _, verb := range []string{"add", "change", "delete", "view"} {
			if err := tx.Define(latchbolt.Permission{App: "board", Model: "post", Codename: verb + "_post", Name: "Can " + verb + " notices"}); err != nil {
				return err
			}
		}
		writers := latchbolt.Group{Name: "Writers"}
		if err := errors.Join(tx.InsertGroup(&writers), tx.Grant(writers.ID, "board.add_post")); err != nil {
			return err
		}
		for i := range people {
			u := latchbolt.User{Username: name(i)}
			if mayAdd(i) {
				u.Groups = []latchbolt.GroupID{writers.ID}
			}
			if err := tx.InsertUser(&u, h); err != nil {
				return err
			}
		}
		return nil
	})
}

func name(i int) string { return fmt.Sprintf("person%03d", i%people) }
func mayAdd(i int) bool { return i%people%2 == 0 }

// Stop ends the program, as Ctrl-C does, and removes what it had. The error has what the program said if it did not end well.
func (s *Site) Stop() error {
	return errors.Join(s.end(), os.RemoveAll(s.dir))
}

func (s *Site) end() error {
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil { // cannot be sent on Windows
		if err := s.cmd.Process.Kill(); err != nil {
			return err
		}
		_ = s.cmd.Wait() // it was killed
		return nil
	}
	if err := s.cmd.Wait(); err != nil {
		return fmt.Errorf("the board ended with %w\n%s", err, s.log.String())
	}
	return nil
}

// signIn posts the form of the login page, and returns the cookie of the new session.
func (s *Site) signIn(ctx context.Context, i int) (*http.Cookie, error) {
	form := url.Values{"username": {name(i)}, "password": {password}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/accounts/login/", strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, _, err := s.do(r)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusSeeOther && resp.StatusCode != http.StatusFound || resp.Header.Get("Location") != "/" {
		return nil, fmt.Errorf("signing in: status %d, to %q", resp.StatusCode, resp.Header.Get("Location"))
	}
	for _, c := range resp.Cookies() {
		if strings.Contains(c.Name, "latchbolt") {
			return c, nil
		}
	}
	return nil, errors.New("signing in: there is no cookie")
}

// browse looks at the board and finds its own name on it.
func (s *Site) browse(ctx context.Context, v Visitor) error {
	return s.get(ctx, "/", v, http.StatusOK, name(v.person))
}

// check goes to a page that not everybody may see.
func (s *Site) check(ctx context.Context, v Visitor) error {
	if mayAdd(v.person) {
		return s.get(ctx, "/posts/new/", v, http.StatusOK, "<textarea")
	}
	return s.get(ctx, "/posts/new/", v, http.StatusForbidden, "")
}

func (s *Site) get(ctx context.Context, path string, v Visitor, status int, says string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path, nil)
	if err != nil {
		return err
	}
	r.AddCookie(v.cookie)
	resp, body, err := s.do(r)
	if err == nil && (resp.StatusCode != status || !bytes.Contains(body, []byte(says))) {
		err = fmt.Errorf("%s: status %d, want %d and %q", path, resp.StatusCode, status, says)
	}
	return err
}

func (s *Site) do(r *http.Request) (*http.Response, []byte, error) {
	r.Header.Set("Accept", "text/html")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	resp, err := s.client.Do(r)
	if err != nil {
		return nil, nil, err
	}
	var body bytes.Buffer
	_, err = body.ReadFrom(resp.Body)
	return resp, body.Bytes(), errors.Join(err, resp.Body.Close())
}
