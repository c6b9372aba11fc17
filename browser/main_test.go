package browser

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/chromedp/chromedp"
)

var (
	shots    = flag.String("shots", "", "write a picture of every page into this `folder`")
	docShots = flag.Bool("docs", false, "make the pictures in docs/img anew")
)

// What all tests share: one browser, and one demonstration of the intranet. Each test has windows of its own, whose cookies no
// other has, and people of its own.
var (
	chromium context.Context // nil if there is no Chromium
	demo     = &program{}
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(runTests(m))
}

func runTests(m *testing.M) (code int) {
	dir, err := os.MkdirTemp("", "latchbolt-browser-")
	if err != nil {
		return fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := findBrowser()
	if path == "" {
		fmt.Println("SKIPPED: there is no Chromium here (Debian has it: apt-get install chromium); no page was looked at")
		return m.Run()
	}
	stop, err := startBrowser(path, filepath.Join(dir, "profile"))
	if err != nil {
		return fatal(err)
	}
	defer stop()
	if err := build(dir); err != nil {
		return fatal(err)
	}
	if demo, err = startProgram(filepath.Join(dir, "unused"), "--demo"); err != nil {
		return fatal(err)
	}
	code = m.Run()
	if err := demo.stop(); err != nil {
		return fatal(err)
	}
	return code
}

func fatal(err error) int {
	fmt.Fprintln(os.Stderr, "browser:", err)
	return 1
}

// findBrowser returns the path of Chromium, or "".
func findBrowser() string {
	for _, name := range []string{os.Getenv("BROWSER_PATH"), "chromium", "chromium-browser", "google-chrome"} {
		if name == "" {
			continue
		}
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

func startBrowser(path, profile string) (stop func(), err error) {
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(profile), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("lang", "en"),
		chromedp.Flag("font-render-hinting", "none"), chromedp.Flag("hide-scrollbars", true))
	alloc, cancelAlloc := chromedp.NewExecAllocator(context.Background(), opts...)
	ctx, cancel := chromedp.NewContext(alloc)
	stop = func() { _ = chromedp.Cancel(ctx); cancel(); cancelAlloc() }
	if err := chromedp.Do(ctx); err != nil {
		stop()
		return nil, fmt.Errorf("starting %s: %w", path, err)
	}
	chromium = ctx
	return stop, nil
}

var binary string

// build compiles the intranet from the module above.
func build(dir string) error {
	binary = filepath.Join(dir, "intranet")
	cmd := exec.Command("go", "build", "-o", binary, "./examples/intranet")
	cmd.Dir = ".."
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("building the intranet: %w\n%s", err, out)
	}
	return nil
}

// A program is the intranet as a process of its own.
type program struct {
	cmd      *exec.Cmd
	out      *bufio.Reader
	logs     *strings.Builder
	open     string // the address that it printed
	base     string // the address without a path
	dir      string // where it keeps everything
	password string // of everybody in the demonstration
}

func startProgram(dir string, args ...string) (*program, error) {
	p := &program{cmd: exec.Command(binary, append([]string{"--addr", "127.0.0.1:0"}, args...)...), logs: &strings.Builder{}, dir: dir}
	p.cmd.Env = append(os.Environ(), "INTRANET="+dir)
	p.cmd.Stderr = p.logs
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	p.out = bufio.NewReader(out)
	var said strings.Builder
	last := "Open "
	if len(args) > 0 {
		last = "is removed when"
	}
	for !strings.Contains(said.String(), last) {
		line, err := p.out.ReadString('\n')
		said.WriteString(line)
		if err != nil {
			_ = p.cmd.Wait()
			return nil, fmt.Errorf("the intranet printed %q and %q and ended: %w", said.String(), p.logs.String(), err)
		}
	}
	find := func(pattern string) string {
		if m := regexp.MustCompile(pattern).FindStringSubmatch(said.String()); m != nil {
			return m[1]
		}
		return ""
	}
	p.open, p.base, p.password = find(`Open (\S+)`), find(`Open (http://[^/]+)`), find(`for this run: (\S+)`)
	if d := find(`INTRANET=(\S+)`); d != "" {
		p.dir = d
	}
	return p, nil
}

// stop asks the program to end, which it has to do without a complaint.
func (p *program) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, p.out)
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("the intranet: %w\n%s", err, p.logs)
	}
	if strings.Contains(p.logs.String(), " ERROR ") {
		return errors.New("the intranet complained:\n" + p.logs.String())
	}
	return nil
}

// mails returns the links that were sent to somebody so far.
func (p *program) mails(t *testing.T, user string) (links []string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(p.dir, "outbox", "*.eml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(data), " for "+user+" ") {
			continue
		}
		links = append(links, regexp.MustCompile(`(?m)^http://\S+`).FindString(string(data)))
	}
	return links
}
