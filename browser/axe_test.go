package browser

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// The accessibility check is axe-core, which npm brings when it is needed: it is no part of the program.
const (
	axeVersion = "4.14.1"
	axeSum     = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c" // SHA-256 of axe.min.js
)

// axe returns the script, or why there is none.
var axe = sync.OnceValues(func() (string, error) {
	if _, err := exec.LookPath("npm"); err != nil {
		return "", nil
	}
	dir, err := os.MkdirTemp("", "latchbolt-axe-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	for _, args := range [][]string{{"npm", "pack", "--silent", "axe-core@" + axeVersion}, {"tar", "xzf", "axe-core-" + axeVersion + ".tgz", "package/axe.min.js"}} {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, out)
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, "package", "axe.min.js"))
	if err != nil {
		return "", err
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != axeSum {
		return "", fmt.Errorf("axe-core %s has the sum %x and not %s", axeVersion, sum, axeSum)
	}
	return string(data), nil
})

// axeScript returns the script, or "" with a line that says that nothing is checked.
func axeScript(t *testing.T) string {
	t.Helper()
	script, err := axe()
	if err != nil {
		t.Fatal(err)
	}
	if script == "" {
		fmt.Println("SKIPPED: there is no npm here to bring axe-core; accessibility was not checked")
	}
	return script
}

// A violation is what axe found.
type violation struct {
	ID     string `json:"id"`
	Impact string `json:"impact"`
	Help   string `json:"help"`
	Nodes  []struct {
		HTML    string `json:"html"`
		Summary string `json:"failureSummary"`
	} `json:"nodes"`
}

func (v violation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s): %s", v.ID, v.Impact, v.Help)
	for _, n := range v.Nodes {
		fmt.Fprintf(&b, "\n\t%.200s\n\t%s", n.HTML, strings.ReplaceAll(n.Summary, "\n", "\n\t"))
	}
	return b.String()
}

// serious reports whether a finding fails the test.
func (v violation) serious() bool { return v.Impact == "serious" || v.Impact == "critical" }

// accessibility looks for barriers on the page as it is shown now: by all rules, or only by those that are named.
func (tb *tab) accessibility(script string, rules ...string) (all []violation) {
	tb.t.Helper()
	if !evaluate[bool](tb, `"axe" in window`) {
		evaluate[bool](tb, script+"\n;true")
	}
	options := map[string]any{"resultTypes": []string{"violations"}}
	if len(rules) > 0 {
		options["runOnly"] = rules
	}
	how, err := json.Marshal(options)
	if err != nil {
		tb.t.Fatal(err)
	}
	out := evaluate[string](tb, fmt.Sprintf(`axe.run(document, %s).then(r => JSON.stringify(r.violations))`, how))
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		tb.t.Fatal(err)
	}
	return all
}
