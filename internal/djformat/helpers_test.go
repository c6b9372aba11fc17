package djformat_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt/internal/djformat"
)

// testdata is where the answers of real Django are.
const testdata = "../../testdata/django"

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(testdata, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func readJSON(t testing.TB, name string, into any) {
	t.Helper()
	if err := json.Unmarshal(readFile(t, name), into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// readDump returns all records of a dump that must be readable.
func readDump(t testing.TB, dump []byte, limits djformat.Limits) []djformat.Record {
	t.Helper()
	records, err := collect(djformat.NewReader(bytes.NewReader(dump), limits))
	if err != nil {
		t.Fatal(err)
	}
	return records
}

func collect(r *djformat.Reader) (records []djformat.Record, err error) {
	for rec, err := range r.Records() {
		if err != nil {
			return records, err
		}
		records = append(records, rec)
	}
	return records, nil
}

func writeDump(t testing.TB, records []djformat.Record) []byte {
	t.Helper()
	var out bytes.Buffer
	w := djformat.NewWriter(&out)
	for i, rec := range records {
		if err := w.Write(rec); err != nil {
			t.Fatalf("record %d: %v", i+1, err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// counted logs how many rows were compared; none at all is a failure.
func counted(t *testing.T, what string, n int) {
	t.Helper()
	if n == 0 {
		t.Fatalf("no %s were checked", what)
	}
	t.Logf("%d %s checked", n, what)
}

func parse(t testing.TB, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// sameJSON compares two JSON values, whatever their layout and escapes.
func sameJSON(t testing.TB, a, b []byte) bool {
	t.Helper()
	var norm [2]string
	for i, raw := range [][]byte{a, b} {
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.UseNumber()
		var v any
		if err := dec.Decode(&v); err != nil {
			t.Fatalf("%.80q: %v", raw, err)
		}
		out, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		norm[i] = string(out)
	}
	return norm[0] == norm[1]
}

// firstDifference shows where two texts part.
func firstDifference(got, want []byte) string {
	i := 0
	for i < len(got) && i < len(want) && got[i] == want[i] {
		i++
	}
	show := func(b []byte) string {
		return strings.ToValidUTF8(string(b[max(0, i-60):min(len(b), i+60)]), "?")
	}
	return "got\n…" + show(got) + "…\nwant\n…" + show(want) + "…"
}
