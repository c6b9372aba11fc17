package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// A client is a connection to the program that holds the file.
type client struct {
	conn  *net.UnixConn
	line  []string                 // the command line, which says what files the program may ask for
	files map[string]io.ReadCloser // that the program asked for, by number
}

// dial connects to the control socket of the program that holds the file at path, and makes sure who is there.
func dial(ctx context.Context, socket, path string) (*client, error) {
	if err := peerSupported(); err != nil {
		return nil, err
	}
	if _, err := os.Lstat(socket); err != nil {
		return nil, err
	}
	name, done, err := shortName(socket)
	if err != nil {
		return nil, err
	}
	defer done()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", name)
	if err != nil {
		return nil, err
	}
	c := &client{conn: conn.(*net.UnixConn), files: make(map[string]io.ReadCloser)}
	uid, err := peerUID(c.conn)
	if err == nil && !trusted(uid) && (os.Geteuid() != 0 || !ownedBy(path, uid)) {
		err = fmt.Errorf("user %d listens there, who has nothing to do with the file", uid)
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return c, nil
}

// cancelWait is how long an interrupted command may take to end in the program.
const cancelWait = 5 * time.Second

// forward has the program run a command and does what it asks for meanwhile.
func (t *tree) forward(ctx context.Context, c *client, cmd *cobra.Command, args []string) error {
	defer c.close()
	c.line = t.commandLine(cmd, args)
	h := hello{Version: wireVersion, Args: rawTexts(c.line), Place: *t.front.Place()}
	if err := writeJSON(c.conn, frameHello, h); err != nil {
		return fmt.Errorf("control connection: %w", err)
	}
	result := make(chan error, 1)
	go func() { result <- c.run(ctx, t.front) }()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
	}
	_ = writeFrame(c.conn, frameCancel, nil)
	select {
	case err := <-result:
		return err
	case <-time.After(cancelWait):
		return errInterrupted
	}
}

func (c *client) close() {
	for _, f := range c.files {
		_ = f.Close()
	}
	_ = c.conn.Close()
}

// run does what the program asks for, until it says that the command has ended.
func (c *client) run(ctx context.Context, f front) error {
	for {
		kind, b, err := readFrame(c.conn, maxFrame)
		if err != nil {
			return fmt.Errorf("the program ended the connection; whether the command was carried out is not known: %w", noEOF(err))
		}
		switch kind {
		case frameExit:
			if len(b) == 0 {
				return nil
			}
			var end failure
			if err := unmarshalStrict(b, &end); err != nil {
				return errFrame
			}
			return end.err()
		case frameOut:
			_, err = f.Stdout().Write(b)
		case frameErr:
			_, err = f.Stderr().Write(b)
		case frameClose:
			c.closeFile(string(b))
		default:
			err = c.answer(ctx, f, kind, b)
		}
		if err != nil {
			return err
		}
	}
}

// noEOF makes the end of a stream an error that says so.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// answer answers a question of the program.
func (c *client) answer(ctx context.Context, f front, kind byte, b []byte) error {
	var reply []byte
	var err error
	switch kind {
	case frameIn:
		reply, err = await(ctx, func() ([]byte, error) { return readPiece(f.Stdin()) })
	case frameLine:
		var s string
		s, err = f.ReadLine(ctx, string(b))
		reply = []byte(s)
	case framePassword:
		var s string
		s, err = f.ReadPassword(ctx, string(b))
		reply = []byte(s)
	case frameOpen:
		if !c.named(string(b)) {
			return fmt.Errorf("%w: it asks for %q, which the command line does not name", errFrame, b)
		}
		reply, err = c.openFile(f, string(b))
	case frameRead:
		file, ok := c.files[string(b)]
		if !ok {
			return errFrame
		}
		reply, err = await(ctx, func() ([]byte, error) { return readPiece(file) })
	default:
		return errFrame
	}
	if ctx.Err() != nil {
		return nil // the program was told; what counts is how the command ends
	}
	if err == nil && len(reply) > maxFrame {
		err = errors.New("the answer is too long")
	}
	// If this cannot be sent, the command has ended meanwhile, and the next frame says how.
	if err != nil {
		_ = writeJSON(c.conn, frameRefuse, failureOf(err))
	} else {
		_ = writeFrame(c.conn, frameAnswer, reply)
	}
	return nil
}

// readPiece reads some bytes; none at the end.
func readPiece(r io.Reader) ([]byte, error) {
	b := make([]byte, maxFrame)
	for {
		n, err := r.Read(b)
		if n > 0 {
			return b[:n], nil
		}
		if err == io.EOF {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// named reports whether the command line has a name, as an argument or as the value of a flag. The program may be that of a user who
// may less than the one who gave the command, and gets to see no other file.
func (c *client) named(name string) bool {
	end := slices.Index(c.line, "--") // verbs and flags stand before it, arguments behind it
	return slices.Contains(c.line[end+1:], name) || slices.ContainsFunc(c.line[:end], func(s string) bool {
		_, value, isFlag := strings.Cut(s, "=")
		return isFlag && value == name
	})
}

// openFile opens a file that the command line named, and gives it a number. Its mode comes behind the number.
func (c *client) openFile(f front, name string) ([]byte, error) {
	r, _, err := f.Open(name, 0)
	if err != nil {
		return nil, err
	}
	id := strconv.Itoa(len(c.files))
	c.files[id] = r
	mode, _ := permOf(r)
	return fmt.Appendf(nil, "%s %o", id, mode), nil
}

// closeFile is told once for each file; its number is not used again.
func (c *client) closeFile(id string) {
	if f := c.files[id]; f != nil {
		_ = f.Close()
	}
}

// commandLine puts the command together again, from its own flags alone: those of a host program's root mean
// nothing on the other side, and the file is the one that is open there.
func (t *tree) commandLine(cmd *cobra.Command, args []string) []string {
	var line []string
	for c := cmd; c != t.root; c = c.Parent() {
		line = append([]string{c.Name()}, line...)
	}
	add := func(f *pflag.Flag) {
		if f.Name == "db" {
			return
		}
		values := []string{f.Value.String()}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			values = list.GetSlice()
		}
		for _, v := range values {
			line = append(line, "--"+f.Name+"="+v)
		}
	}
	seen := make(map[string]bool)
	cmd.Flags().Visit(func(f *pflag.Flag) {
		ours := t.root.PersistentFlags().Lookup(f.Name) == f || cmd.LocalNonPersistentFlags().Lookup(f.Name) == f
		if ours && !seen[f.Name] {
			seen[f.Name] = true
			add(f)
		}
	})
	return append(append(line, "--"), args...)
}

// shortName returns a name for a socket that fits into the 104 bytes that all systems have room for.
func shortName(path string) (name string, done func(), err error) {
	const most = 103
	if len(path) <= most {
		return path, func() {}, nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	name = fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path))
	if _, err := os.Stat(filepath.Dir(name)); err != nil || len(name) > most {
		_ = dir.Close()
		return "", nil, fmt.Errorf("%s has %d bytes, and a socket's name at most %d", path, len(path), most)
	}
	return name, func() { _ = dir.Close() }, nil
}
