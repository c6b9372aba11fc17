package authhttp

import (
	"context"
	"errors"
	"html"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/latchbolt-go/latchbolt"
)

// Status returns the status for an error of the engine, and how long the client should wait before it
// tries again; 0 says nothing about that. Nil gives 200. An error that nothing is known of is
// taken for an outage: 503.
func Status(err error) (status int, wait time.Duration) {
	var throttled *latchbolt.ThrottleError
	var tooBig *http.MaxBytesError
	switch {
	case err == nil:
		return http.StatusOK, 0
	case errors.As(err, &throttled):
		return http.StatusTooManyRequests, throttled.Wait
	case errors.Is(err, latchbolt.ErrThrottled):
		return http.StatusTooManyRequests, time.Second
	case errors.As(err, &tooBig):
		return http.StatusRequestEntityTooLarge, 0
	case errors.Is(err, latchbolt.ErrBusy):
		return http.StatusServiceUnavailable, time.Second
	case errors.Is(err, latchbolt.ErrCredentials), errors.Is(err, latchbolt.ErrNoSession):
		return http.StatusUnauthorized, 0
	case errors.Is(err, latchbolt.ErrDenied), errors.Is(err, latchbolt.ErrForbidden), errors.Is(err, ErrStateless):
		return http.StatusForbidden, 0
	case errors.Is(err, latchbolt.ErrNotFound):
		return http.StatusNotFound, 0
	case errors.Is(err, latchbolt.ErrToken):
		return http.StatusBadRequest, 0
	case errors.Is(err, latchbolt.ErrExists), errors.Is(err, latchbolt.ErrConflict), errors.Is(err, latchbolt.ErrLastSuperuser):
		return http.StatusConflict, 0
	case errors.Is(err, latchbolt.ErrInvalid):
		return http.StatusUnprocessableEntity, 0
	case errors.Is(err, latchbolt.ErrUnsupported):
		return http.StatusNotImplemented, 0
	case errors.Is(err, latchbolt.ErrNested), errors.Is(err, ErrNoHandler), errors.Is(err, ErrHeaderSent):
		return http.StatusInternalServerError, 0
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return http.StatusServiceUnavailable, time.Second
	}
	return http.StatusServiceUnavailable, outageRetry
}

// outageRetry is what clients are told to wait if the store cannot answer.
const outageRetry = 5 * time.Second

func retryAfter(status int) time.Duration {
	if status == http.StatusServiceUnavailable {
		return outageRetry
	}
	return 0
}

// Fail answers with an error of the engine: a page for people, a line of text for programs. What
// the error says does not leave; it is logged if it is one of the server.
func (a *Auth) Fail(w http.ResponseWriter, r *http.Request, err error) {
	a.ready()
	status, wait := Status(err)
	if status >= 500 && r.Context().Err() == nil { // who went away did not fail
		a.setup.log.Error("authhttp: a request failed", "method", r.Method, "path", a.logPath(r), "err", err)
	}
	a.fail(w, r, status, wait, "")
}

// logPath is the path of a request for the log. What stands in a link to set a password is a secret.
func (a *Auth) logPath(r *http.Request) string {
	if reset := a.setup.prefix + "password/reset/"; strings.HasPrefix(r.URL.Path, reset) {
		return reset + "…"
	}
	return r.URL.Path
}

// fail answers with a status and, optionally, words for it.
func (a *Auth) fail(w http.ResponseWriter, r *http.Request, status int, wait time.Duration, words string) {
	if status == http.StatusUnauthorized {
		a.challenge(w, r)
	}
	a.writeFailure(w, r, status, wait, words)
}

// statusWords says what a status means to people.
var statusWords = map[int]string{
	http.StatusBadRequest:            "The request cannot be answered. Please go back, reload the page and try again.",
	http.StatusUnauthorized:          "Please sign in.",
	http.StatusForbidden:             "You are not allowed to do that.",
	http.StatusNotFound:              "There is no such page.",
	http.StatusMethodNotAllowed:      "This address does not take such a request.",
	http.StatusConflict:              "That contradicts the present state. Please reload the page and look again.",
	http.StatusRequestEntityTooLarge: "That was too much at once.",
	http.StatusUnsupportedMediaType:  "That is not a form of this site.",
	http.StatusUnprocessableEntity:   "Something that was sent was refused.",
	http.StatusTooManyRequests:       "Too many failed attempts. Please wait before you try again.",
	http.StatusInternalServerError:   "Something went wrong here. It has been noted.",
	http.StatusNotImplemented:        "That is not possible in this installation.",
	http.StatusServiceUnavailable:    "This cannot be answered at the moment. Please try again soon.",
}

func (a *Auth) writeFailure(w http.ResponseWriter, r *http.Request, status int, wait time.Duration, words string) {
	h := w.Header()
	if wait > 0 {
		h.Set("Retry-After", strconv.Itoa(seconds(wait)))
	}
	h.Set("Cache-Control", "no-store")
	vary(h, "Accept") // a page for people, text for programs
	if words == "" {
		words = orElse(statusWords[status], http.StatusText(status))
	}
	t := a.texts(r)
	if wantsPage(r) {
		a.setup.pages.render(w, r, a, status, "error.html", &page{Title: t.T(http.StatusText(status)), Message: t.T(words)})
		return
	}
	h.Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = io.WriteString(w, html.UnescapeString(t.T(words))+"\n")
	}
}

// seconds rounds up, so that who waits that long has waited long enough.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }
