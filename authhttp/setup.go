package authhttp

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"net/url"
	"sync"

	"github.com/latchbolt-go/latchbolt"
)

// A setupCode proves that who makes the first user can read what the program prints.
type setupCode struct {
	mu   sync.Mutex // guards text
	text string     // "" if there is nothing to set up
}

// SetupCode returns the code that the set-up page asks for, if there is no user in the file, and
// otherwise "". It is good in this process until the first user is there. A program prints it
// for who started it; without this call there is no set-up page.
func (a *Auth) SetupCode(ctx context.Context) (string, error) {
	a.ready()
	c := &a.setup.code
	empty, err := a.noUser(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil || !empty {
		c.text = ""
		return "", err
	}
	if c.text == "" {
		c.text = rand.Text()
	}
	return c.text, nil
}

// SetupURL returns the address of the set-up page with the code, to open in a browser, or
// "" if there is a user already; see [Auth.SetupCode]. Without BaseURL it begins with the path.
func (a *Auth) SetupURL(ctx context.Context) (string, error) {
	code, err := a.SetupCode(ctx)
	if err != nil || code == "" {
		return "", err
	}
	to := a.setup.prefix + "setup/?code=" + url.QueryEscape(code)
	if a.setup.base != nil {
		to = a.setup.base.String() + to
	}
	return to, nil
}

func (a *Auth) noUser(ctx context.Context) (bool, error) {
	for _, err := range a.Engine.Users(ctx, latchbolt.UserQuery{Limit: 1}) {
		return false, err
	}
	return true, nil
}

// asked reports whether there is something to set up.
func (c *setupCode) asked() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text != ""
}

func (c *setupCode) right(code string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text != "" && subtle.ConstantTimeCompare([]byte(c.text), []byte(code)) == 1
}

func (c *setupCode) used() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text = ""
}
