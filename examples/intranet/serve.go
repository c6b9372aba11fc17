package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/authhttp"
	"github.com/latchbolt-go/latchbolt/cli"
)

// An app is the running program.
type app struct {
	eng   *latchbolt.Engine
	auth  *authhttp.Auth
	board *board
	pages pages

	demoPassword string
}

// serve runs the program until ctx is done, and takes everything down in the reverse of the order in which it was put up.
func serve(ctx context.Context, o options, out io.Writer) (err error) {
	ln, err := listen(o.addr)
	if err != nil {
		return err
	}
	defer func() { _ = ln.Close() }() // is closed already, unless something went wrong
	direct := "http://" + ln.Addr().String()
	if o.demo {
		if o.dir, err = os.MkdirTemp("", "intranet-demo-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(o.dir)) }()
	}
	a, err := open(ctx, o, direct)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.eng.Close()) }()
	if err := a.welcome(ctx, o, out); err != nil {
		return err
	}
	return a.serve(ctx, ln)
}

// listen refuses what other machines can reach: passwords would cross the network without TLS.
func listen(addr string) (net.Listener, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	if at, err := netip.ParseAddrPort(ln.Addr().String()); err != nil || !at.Addr().Unmap().IsLoopback() {
		return nil, errors.Join(fmt.Errorf("%s can be reached from other machines: listen on loopback, and put a proxy with TLS in front", addr), ln.Close())
	}
	return ln, nil
}

// open opens the accounts and the board, and makes what has to be there.
func open(ctx context.Context, o options, direct string) (*app, error) {
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return nil, err
	}
	cfg := config()
	cfg.Create = true
	var past *timeMachine
	if o.demo {
		past = startInThePast(cfg)
	}
	eng, err := latchbolt.Open(o.accounts(), cfg)
	if err != nil {
		return nil, err
	}
	a := &app{eng: eng, auth: newAuth(eng, o, direct), pages: parsePages()}
	if err = define(ctx, eng); err == nil {
		if a.board, err = openBoard(o.posts()); err == nil && o.demo {
			err = a.fillDemo(ctx, past)
		}
	}
	if err != nil {
		return nil, errors.Join(err, eng.Close())
	}
	return a, nil
}

// posts is the file of the notices; a demonstration has them in memory.
func (o *options) posts() string {
	if o.demo {
		return ""
	}
	return filepath.Join(o.dir, "posts.json")
}

// newAuth says how people sign in. Behind a proxy everything is as strict as it can be; without one, the address is of this
// machine alone and has no TLS, which has to be allowed by name.
func newAuth(eng *latchbolt.Engine, o options, direct string) *authhttp.Auth {
	auth := &authhttp.Auth{
		Engine:        eng,
		BaseURL:       o.url,
		Realm:         "Notice board",
		LoginRequired: true, // every page but those of Exempt and the views for signing in
		Exempt:        []string{"GET /static/{name}"},
		SendReset:     outbox{dir: filepath.Join(o.dir, "outbox")}.send,
	}
	if o.url == "" {
		auth.BaseURL, auth.Insecure = direct, true
	} else {
		auth.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	}
	return auth
}

// What the board and the console ask for. A new file also gets two groups to put people into.
func define(ctx context.Context, eng *latchbolt.Engine) error {
	err := eng.Update(ctx, func(tx *latchbolt.Tx) error {
		unused, err := tx.Unused()
		if err != nil || !unused {
			return err
		}
		for _, verb := range []string{"add", "change", "delete", "view"} {
			if err := tx.Define(latchbolt.Permission{App: "board", Model: "post", Codename: verb + "_post", Name: "Can " + verb + " notices"}); err != nil {
				return err
			}
		}
		writers, moderators := latchbolt.Group{Name: "Writers"}, latchbolt.Group{Name: "Moderators"}
		return errors.Join(
			tx.InsertGroup(&writers), tx.Grant(writers.ID, "board.add_post"),
			tx.InsertGroup(&moderators), tx.Grant(moderators.ID, "board.change_post"), tx.Grant(moderators.ID, "board.delete_post"),
		)
	})
	if err == nil {
		err = eng.DefineAdmin(ctx)
	}
	return err
}

// welcome prints the one address to open.
func (a *app) welcome(ctx context.Context, o options, out io.Writer) error {
	to, err := a.auth.SetupURL(ctx)
	if err != nil {
		return err
	}
	if to == "" {
		to = strings.TrimSuffix(a.auth.BaseURL, "/") + "/"
	}
	if _, err = fmt.Fprintf(out, "Open %s\n", to); err == nil && o.demo {
		a.introduce(out, o)
	}
	return err
}

// How long requests under way may take when the program ends.
const patience = 10 * time.Second

// serve answers requests and commands until ctx is done. The order of the end matters: first nobody new is let in, then the mails
// that were asked for leave, then the commands end; the accounts are closed by the caller, last.
func (a *app) serve(ctx context.Context, ln net.Listener) error {
	srv := &http.Server{
		Handler:           a.handler(),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		WriteTimeout:      2 * time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(slog.Default().Handler(), slog.LevelWarn),
	}
	socketCtx, closeSocket := context.WithCancel(context.Background())
	defer closeSocket()
	web, socket := make(chan error, 1), make(chan error, 1)
	go func() { web <- srv.Serve(ln) }()
	go func() {
		err := cli.Serve(socketCtx, a.eng, "")
		if errors.Is(err, errors.ErrUnsupported) {
			slog.Warn("commands cannot be let in while the program runs", "err", err)
			<-socketCtx.Done()
			err = nil
		}
		socket <- err
	}()

	var failed error
	select {
	case <-ctx.Done():
	case failed = <-web:
	case failed = <-socket:
		socket <- nil // is read once more below
	}
	end, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := srv.Shutdown(end)
	if err != nil {
		err = errors.Join(err, srv.Close())
	}
	a.auth.Wait()
	closeSocket()
	return errors.Join(failed, err, <-socket)
}
