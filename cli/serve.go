package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"github.com/latchbolt-go/latchbolt"
)

// socketSuffix makes the name of the control socket from that of the file.
const socketSuffix = ".sock"

// Bounds of the server. A connection holds a goroutine and nothing of the engine while it waits for its client.
const (
	maxClients = 16               // commands at once; further ones are told to come later
	helloWait  = 5 * time.Second  // for a client to say what it wants
	clientWait = 10 * time.Minute // for the answer of a person, or for somebody to read the output
	byeWait    = 2 * time.Second  // for a client to take the last frame of a command that did not begin or is being ended
)

// Serve lets the commands of this package in while a program has the file open: it listens on the unix socket at path and runs
// each command on eng. An empty path is that of the file with ".sock" behind it, where commands look.
// It returns when ctx is done and the last command has ended, with nil, or at once with the reason why it cannot listen: the path
// is taken, or other users may write to its folder. On systems that cannot tell who is at the other end of a socket (Windows among
// them) the error is errors.ErrUnsupported. Call it before the file is closed, and close the file when it has returned.
//
// The socket has mode 0600, and only processes of the same user and of root are listened to: they could as well read the
// file. What commands do is in the audit trail. A client that is cut off, stays silent or talks nonsense
// harms nobody but itself; a panic in a command ends that command.
func Serve(ctx context.Context, eng *latchbolt.Engine, path string) error {
	if path == "" {
		path = eng.Path() + socketSuffix
	}
	ln, err := listen(path)
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	s := &server{eng: eng, slots: make(chan struct{}, maxClients)}
	return s.run(ctx, ln)
}

// A server is one listening control socket.
type server struct {
	eng   *latchbolt.Engine
	slots chan struct{}
	conns sync.WaitGroup
}

// run accepts until ctx is done.
func (s *server) run(ctx context.Context, ln *listener) error {
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() })
	defer stop()
	defer s.conns.Wait()
	defer func() { _ = ln.Close() }()
	for {
		conn, err := ln.AcceptUnix()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = conn.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("control socket: %w", err)
		case err != nil: // no file handle left, or a client that went away again
			select {
			case <-time.After(50 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		}
		s.conns.Go(func() { s.serve(ctx, conn) })
	}
}

// serve runs the command of one connection.
func (s *server) serve(ctx context.Context, conn *net.UnixConn) {
	defer func() { _ = conn.Close() }()
	defer func() {
		if p := recover(); p != nil {
			slog.Error("latchbolt: a control connection failed", "panic", p, "stack", string(debug.Stack()))
		}
	}()
	uid, err := peerUID(conn)
	if err != nil || !trusted(uid) {
		return
	}
	_ = conn.SetReadDeadline(time.Now().Add(helloWait))
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Now()) })
	h, err := readHello(conn)
	if !stop() || err != nil {
		err = errors.Join(err, context.Cause(ctx))
		s.exit(conn, err)
		return
	}
	_ = conn.SetReadDeadline(time.Time{})
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	default:
		s.exit(conn, &exitError{code: ExitFailed, err: errors.New("the program is busy with other commands; try again later")})
		return
	}
	r := newRemote(ctx, conn, h.Place, filepath.Dir(s.eng.Path()))
	defer r.cancel()
	err = s.command(r.ctx, r, stringsOf(h.Args))
	r.patience(false) // before the end, it still has to take what was written
	lastFrame(conn, err)
}

// command runs a command for the client. Nothing that happens in it reaches the program.
func (s *server) command(ctx context.Context, r *remote, args []string) (err error) {
	defer func() {
		if p := recover(); p != nil {
			slog.Error("latchbolt: a command failed", "panic", p, "stack", string(debug.Stack()))
			err = &exitError{code: ExitFailed, err: errors.New("the command failed inside the program; see its log")}
		}
	}()
	t := &tree{eng: s.eng, front: r}
	root := t.build()
	root.SetArgs(args)
	root.SetIn(r.Stdin())
	root.SetOut(r.Stdout())
	root.SetErr(r.Stderr())
	return root.ExecuteContext(ctx)
}

// exit sends the end of a command that did not begin, and waits a moment for the client to take it.
func (s *server) exit(conn *net.UnixConn, err error) {
	_ = conn.SetDeadline(time.Now().Add(byeWait))
	lastFrame(conn, err)
}

// lastFrame sends the end of a command.
func lastFrame(conn *net.UnixConn, err error) {
	if err == nil {
		_ = writeFrame(conn, frameExit, nil)
	} else {
		f := failureOf(err)
		f.EOF = false
		_ = writeJSON(conn, frameExit, f)
	}
	_ = conn.CloseWrite()
}

func readHello(conn net.Conn) (*hello, error) {
	kind, b, err := readFrame(conn, maxHello)
	if err != nil {
		return nil, err
	}
	var h hello
	if kind != frameHello || unmarshalStrict(b, &h) != nil {
		return nil, errFrame
	}
	if h.Version != wireVersion {
		return nil, fmt.Errorf("the program speaks version %d of the control protocol, the command version %d: use the program's own commands",
			wireVersion, h.Version)
	}
	if len(h.Args) == 0 || !filepath.IsAbs(h.Place.Dir) && h.Place.Dir != "" {
		return nil, errFrame
	}
	return &h, nil
}

// trusted reports whether a user may give commands: one who could read the file anyway.
func trusted(uid int) bool { return uid == os.Geteuid() || uid == 0 }

// A listener is a control socket that takes its name with it when it is closed.
type listener struct {
	*net.UnixListener
	path string
	info fs.FileInfo
	once sync.Once
}

// Close removes the socket, unless somebody else's stands there by now, and stops listening.
func (l *listener) Close() error {
	err := net.ErrClosed
	l.once.Do(func() {
		if now, statErr := os.Lstat(l.path); statErr == nil && os.SameFile(now, l.info) {
			_ = os.Remove(l.path)
		}
		err = l.UnixListener.Close()
	})
	return err
}

// listen makes the socket. One that a crashed program left behind is replaced.
func listen(path string) (_ *listener, err error) {
	if err := peerSupported(); err != nil {
		return nil, err
	}
	if err := checkFolder(filepath.Dir(path)); err != nil {
		return nil, err
	}
	if err := clearStale(path); err != nil {
		return nil, err
	}
	name, done, err := shortName(path)
	if err != nil {
		return nil, err
	}
	defer done()
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
	if err != nil {
		return nil, err
	}
	ln.SetUnlinkOnClose(false) // done by Close, with a look at what is there
	l := &listener{UnixListener: ln, path: path}
	defer func() {
		if err != nil {
			_ = ln.Close()
		}
	}()
	// Whoever comes before this is stopped by the check of its user.
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, err
	}
	l.info, err = os.Lstat(path)
	return l, err
}

// clearStale removes a socket that nobody listens to.
func clearStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s is there and is not a socket: move it away", path)
	}
	name, done, err := shortName(path)
	if err != nil {
		return err
	}
	defer done()
	conn, err := net.DialTimeout("unix", name, time.Second)
	if err == nil {
		_ = conn.Close()
		return fmt.Errorf("another program listens at %s", path)
	}
	return os.Remove(path)
}
