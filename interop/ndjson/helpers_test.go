package ndjson_test

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/interop"
	"github.com/latchbolt-go/latchbolt/interop/internal/intest"
	"github.com/latchbolt-go/latchbolt/interop/ndjson"
)

// config and open are for short.
var (
	config = intest.Config
	open   = intest.Open
	logsIn = intest.LogsIn
)

// load imports a text into an engine and fails if that fails.
func load(t testing.TB, eng *latchbolt.Engine, text string, opts *ndjson.ImportOptions) interop.Report {
	t.Helper()
	report, err := ndjson.Import(t.Context(), eng, strings.NewReader(text), opts)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// dump exports an engine with hashes.
func dump(t testing.TB, eng *latchbolt.Engine) string {
	t.Helper()
	var out bytes.Buffer
	if _, err := ndjson.Export(t.Context(), eng, &out, &ndjson.ExportOptions{WithHashes: true}); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// onlyReader hides that a reader can seek.
type onlyReader struct{ io.Reader }
