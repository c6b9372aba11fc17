package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/authhttp"
)

func TestMain(m *testing.M) {
	if os.Getenv("INTRANET_TEST_MAIN") != "" {
		main()
	}
	os.Exit(m.Run())
}

func command(dir string, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), "INTRANET_TEST_MAIN=1", "INTRANET="+dir)
	return cmd
}

// A program is the intranet as a process of its own.
type program struct {
	t    *testing.T
	cmd  *exec.Cmd
	open string // the address that it printed
	out  *bufio.Reader
	logs strings.Builder // what it wrote to standard error, once it has ended
}

func start(t *testing.T, dir string, args ...string) *program {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("SKIPPED: there is no signal that asks a program to end on this system")
	}
	p := &program{t: t, cmd: command(dir, append([]string{"--addr", "127.0.0.1:0"}, args...)...)}
	p.cmd.Stderr = &p.logs
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	p.out = bufio.NewReader(out)
	line, err := p.out.ReadString('\n')
	if err != nil {
		t.Fatalf("the program printed %q and then: %v", line, err)
	}
	var ok bool
	if p.open, ok = strings.CutPrefix(strings.TrimSpace(line), "Open "); !ok {
		t.Fatalf("the program printed %q", line)
	}
	return p
}

// stop asks the program to end and waits for it.
func (p *program) stop(sig os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, p.out)
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("the program ended with %v\n%s", err, p.logs.String())
	}
	if strings.Contains(p.logs.String(), "level=ERROR") || strings.Contains(p.logs.String(), " ERROR ") {
		p.t.Errorf("the program complained:\n%s", p.logs.String())
	}
}

func (p *program) browser() *browser {
	p.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		p.t.Fatal(err)
	}
	base, _, _ := strings.Cut(strings.TrimPrefix(p.open, "http://"), "/")
	return &browser{t: p.t, url: "http://" + base, client: &http.Client{Jar: jar, Timeout: 30 * time.Second}}
}

func TestProgram(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "intranet")
	p := start(t, dir)
	if !strings.Contains(p.open, "/accounts/setup/?code=") {
		t.Fatalf("a new installation prints %s", p.open)
	}
	ada := p.browser()
	_, _, page := ada.get(p.open)
	code := regexp.MustCompile(`name="code"[^>]* value="([^"]+)"`).FindStringSubmatch(page)
	if code == nil {
		t.Fatalf("no code on the page: %s", page)
	}
	if status, at, page := ada.post("/accounts/setup/", "code", code[1], "username", "ada", "email", "ada@example.org", "password1", password, "password2", password); status != 200 || at != "/" {
		t.Fatalf("set-up: status %d at %s: %s", status, at, page)
	}
	if status, _, page := ada.post("/posts/new/", "title", "First", "text", "Hello"); status != 200 || !strings.Contains(page, "First") {
		t.Fatalf("first notice: status %d: %s", status, page)
	}
	if status, _, _ := ada.get("/admin/users/"); status != 200 {
		t.Errorf("console for the first user: status %d", status)
	}

	// Commands run inside the program while it has the file.
	create := command(dir, "auth", "user", "create", "alan", "--password-stdin")
	create.Stdin = strings.NewReader(password + "\n")
	if out, err := create.CombinedOutput(); err != nil {
		t.Errorf("auth user create: %v: %s", err, out)
	}
	alan := p.browser()
	if status, at, _ := alan.post("/accounts/login/", "username", "alan", "password", password); status != 200 || at != "/" {
		t.Errorf("login of who was made by a command: status %d at %s", status, at)
	}
	// A second program is told that it cannot have the file.
	second := command(dir, "--addr", "127.0.0.1:0")
	out, err := second.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !strings.Contains(string(out), "in use") {
		t.Errorf("a second program: %v: %s", err, out)
	}

	// A mail that was asked for leaves, although the program is told to end at once.
	if status, at, _ := alan.post("/accounts/password/reset/", "email", "ada@example.org"); status != 200 || at != "/accounts/password/reset/done/" {
		t.Errorf("asking for a mail: status %d at %s", status, at)
	}
	p.stop(syscall.SIGTERM)
	mails, err := filepath.Glob(filepath.Join(dir, "outbox", "*"))
	if err != nil || len(mails) != 1 || !strings.HasSuffix(mails[0], ".eml") {
		t.Errorf("the outbox has %v, %v", mails, err)
	}
	if _, err := os.Lstat(filepath.Join(dir, "accounts.db.sock")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the control socket is still there: %v", err)
	}
	eng, err := latchbolt.Open(filepath.Join(dir, "accounts.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for f, err := range eng.Verify(t.Context()) {
		t.Errorf("the accounts: %v, %v", f, err)
	}
	if err := eng.Close(); err != nil {
		t.Error(err)
	}

	// The next run goes on: the sessions too, and there is no set-up page any more.
	p = start(t, dir)
	if strings.Contains(p.open, "setup") {
		t.Errorf("the second run prints %s", p.open)
	}
	again := p.browser()
	again.client.Jar.SetCookies(again.request("GET", "/", nil).URL, ada.client.Jar.Cookies(ada.request("GET", "/", nil).URL))
	if status, at, page := again.get("/"); status != 200 || at != "/" || !strings.Contains(page, "First") {
		t.Errorf("the board after a restart: status %d at %s: %s", status, at, page)
	}
	p.stop(os.Interrupt)
}

func TestDemo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "untouched")
	p := start(t, dir, "--demo")
	var said strings.Builder
	for !strings.Contains(said.String(), "is removed when") {
		line, err := p.out.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		said.WriteString(line)
	}
	secret := regexp.MustCompile(`for this run: (\S+)`).FindStringSubmatch(said.String())
	folder := regexp.MustCompile(`INTRANET=(\S+)`).FindStringSubmatch(said.String())
	if secret == nil || folder == nil {
		t.Fatalf("the program printed %q", said.String())
	}
	for _, who := range []string{"ada", "grace", "margaret", "alan", "tony"} {
		b := p.browser()
		if status, at, page := b.post("/accounts/login/", "username", who, "password", secret[1]); status != 200 || at != "/" || !strings.Contains(page, "Reward for misprints") {
			t.Errorf("%s signs in: status %d at %s", who, status, at)
		}
		status, _, page := b.get("/accounts/")
		if status != 200 || who == "ada" && strings.Count(page, "/accounts/sessions/end/") != 4 {
			t.Errorf("account of %s: status %d, %d devices", who, status, strings.Count(page, "/accounts/sessions/end/"))
		}
		status, _, _ = b.get("/admin/users/")
		if want := map[string]int{"ada": 200, "grace": 200}[who]; status != want && (want != 0 || status != 403) {
			t.Errorf("console for %s: status %d", who, status)
		}
	}
	if status, _, _ := p.browser().post("/accounts/login/", "username", "ken", "password", secret[1]); status != 401 {
		t.Errorf("who left signs in: status %d", status)
	}
	p.stop(syscall.SIGTERM)
	for _, gone := range []string{folder[1], dir} {
		if _, err := os.Lstat(gone); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v, want that it is not there", gone, err)
		}
	}
}

func TestOnlyLoopback(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", "[::]:0", ":0"} {
		ln, err := listen(addr)
		if err == nil {
			_ = ln.Close()
			t.Errorf("listens on %s", addr)
		}
	}
	if code := run(t.Context(), []string{"--addr", "0.0.0.0:0"}); code == 0 {
		t.Error("the program ran where others can reach it")
	}
}

// TestBehindAProxy: with an address over https everything is as strict as it can be.
func TestBehindAProxy(t *testing.T) {
	a, err := open(t.Context(), options{dir: t.TempDir(), url: "https://board.example.org"}, "http://127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := a.eng.Close(); err != nil {
			t.Error(err)
		}
	}()
	var said strings.Builder
	if err := a.welcome(t.Context(), options{}, &said); err != nil || !strings.HasPrefix(said.String(), "Open https://board.example.org/accounts/setup/?code=") {
		t.Errorf("the program prints %q, %v", said.String(), err)
	}
	if a.auth.Insecure || len(a.auth.TrustedProxies) == 0 {
		t.Errorf("behind a proxy: %+v", a.auth)
	}
}

// TestOrderOfTheEnd: a mail under way holds up the end of the commands and of the accounts, and then all is closed.
func TestOrderOfTheEnd(t *testing.T) {
	o := options{dir: t.TempDir(), addr: "127.0.0.1:0"}
	ln, err := listen(o.addr)
	if err != nil {
		t.Fatal(err)
	}
	a, err := open(t.Context(), o, "http://"+ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := a.eng.CreateUser(t.Context(), &latchbolt.User{Username: "ada", Email: "ada@example.org"}, password); err != nil {
		t.Fatal(err)
	}
	sending, goOn := make(chan struct{}), make(chan struct{})
	send := a.auth.SendReset
	a.auth.SendReset = func(ctx context.Context, m authhttp.ResetMail) error {
		close(sending)
		<-goOn
		return send(ctx, m)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- a.serve(ctx, ln) }()

	b := &browser{t: t, url: "http://" + ln.Addr().String(), client: &http.Client{}}
	if status, at, _ := b.post("/accounts/password/reset/", "email", "ada@example.org"); status != 200 || at != "/accounts/password/reset/done/" {
		t.Fatalf("asking for a mail: status %d at %s", status, at)
	}
	<-sending
	cancel()
	for { // until nobody new is let in
		conn, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			break
		}
		_ = conn.Close()
	}
	select {
	case err := <-ended:
		close(goOn)
		t.Fatalf("the program ended while a mail was under way: %v", err)
	case <-time.After(100 * time.Millisecond): // that something does not happen takes time to see
	}
	close(goOn)
	if err := <-ended; err != nil {
		t.Errorf("the program ended with %v", err)
	}
	if mails, err := filepath.Glob(filepath.Join(o.dir, "outbox", "*.eml")); err != nil || len(mails) != 1 {
		t.Errorf("the outbox has %v, %v", mails, err)
	}
	if err := a.eng.Close(); err != nil {
		t.Error(err)
	}
}

// TestAccountsAreClosed runs the program inside the test, where nothing but Close lets go of the file.
func TestAccountsAreClosed(t *testing.T) {
	o := options{dir: t.TempDir(), addr: "127.0.0.1:0"}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	in, out := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, o, out) }()
	if line, err := bufio.NewReader(in).ReadString('\n'); err != nil || !strings.HasPrefix(line, "Open http://127.0.0.1:") {
		t.Errorf("the program printed %q, %v", line, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	eng, err := latchbolt.Open(o.accounts(), &latchbolt.Config{LockTimeout: -1})
	if err != nil {
		t.Fatalf("after the end: %v", err)
	}
	if err := eng.Close(); err != nil {
		t.Error(err)
	}
}
