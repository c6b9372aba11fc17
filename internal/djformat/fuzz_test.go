package djformat_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt/internal/djformat"
)

// FuzzReader reads any bytes as a dump. Reading must end in records or in a
// SyntaxError inside the dump, must not depend on how the bytes arrive, and what
// can be written must read the same again.
func FuzzReader(f *testing.F) {
	for _, test := range append(malformedForms(), malformedRecords()...) {
		if len(test.dump) < 10_000 {
			f.Add([]byte(strings.Replace(test.dump, "‸", "", 1)))
		}
	}
	for _, name := range []string{"auth.json", "auth_natural.json", "sessions_dump.json"} {
		whole := readFile(f, name)
		f.Add(whole)
		f.Add(whole[len(whole)-1500:])
		f.Add(append([]byte("[\n{"), whole[len(whole)-1500:]...))
	}
	for _, record := range []string{goodGroup, goodPermission, goodSession, goodUser} {
		f.Add([]byte(record + "\n" + record))
		f.Add([]byte("[" + record + "," + record + "]"))
	}
	limits := djformat.Limits{RecordBytes: 64 << 10, SkippedModels: 10}
	f.Fuzz(func(t *testing.T, dump []byte) {
		r := djformat.NewReader(bytes.NewReader(dump), limits)
		records, err := collect(r)
		var syntax *djformat.SyntaxError
		if err != nil && !errors.As(err, &syntax) {
			t.Fatalf("unexpected error %v", err)
		}
		if syntax != nil && (syntax.Offset < 0 || syntax.Offset > int64(len(dump)) || syntax.Msg == "" || strings.Contains(err.Error(), "\n")) {
			t.Fatalf("unsuitable error %#v", syntax)
		}
		if err == nil && !json.Valid(dump) && bytes.TrimSpace(dump)[0] == '[' {
			t.Fatalf("%q was accepted", dump)
		}
		again, err2 := collect(djformat.NewReader(oneByte{bytes.NewReader(dump)}, limits))
		if !reflect.DeepEqual(records, again) || !reflect.DeepEqual(err, err2) {
			t.Fatalf("byte by byte: %v and %v instead of %v and %v", again, err2, records, err)
		}
		var out bytes.Buffer
		w := djformat.NewWriter(&out)
		var written []djformat.Record
		for _, rec := range records {
			if w.Write(rec) == nil {
				written = append(written, rec)
			}
		}
		if err := w.Close(); err != nil || !json.Valid(out.Bytes()) {
			t.Fatalf("wrote %s, %v", out.Bytes(), err)
		}
		first := readDump(t, out.Bytes(), djformat.Limits{})
		if len(first) != len(written) {
			t.Fatalf("read %d records of %d", len(first), len(written))
		}
		if second := writeDump(t, first); !bytes.Equal(second, out.Bytes()) {
			t.Fatalf("written again: %s", firstDifference(second, out.Bytes()))
		}
	})
}

// oneByte gives one byte at a time.
type oneByte struct{ r io.Reader }

func (o oneByte) Read(p []byte) (int, error) { return o.r.Read(p[:min(1, len(p))]) }

// FuzzSession decodes any text as a session: as it is, where no text but the
// seeds has a right signature, and as the content of a value that is signed
// rightly.
func FuzzSession(f *testing.F) {
	a, keys, now, cookieAge := readAnswers(f)
	for _, row := range a.Sessions {
		f.Add(row.Data)
	}
	for _, row := range a.SignedCookies {
		f.Add(row.Value)
	}
	for _, content := range []string{
		`{}`, `null`, `[]`, `{"_session_expiry":0}`, `{"_session_expiry":1.5}`, `{"_session_expiry":"2026-05-04"}`,
		`{"_auth_user_id":"1","_auth_user_backend":"b","_auth_user_hash":"h"}`, `{"é":"\ud83d"}`, `{"a":1,"a":2}`, "{\"\xff\":1}",
	} {
		f.Add(content)
		f.Add(base64.RawURLEncoding.EncodeToString([]byte(content)) + ":1wJqPe")
		f.Add(deflate(f, []byte(content)) + ":1wJqPe")
	}
	f.Fuzz(func(t *testing.T, text string) {
		const salt = "django.contrib.sessions.SessionStore"
		for _, value := range []string{
			text,
			sign(keys.Key, salt, text),
			sign(keys.Fallbacks[0], salt, base64.RawURLEncoding.EncodeToString([]byte(text))+":1wJqPe"),
		} {
			d, err := keys.DecodeSession(value)
			if err != nil {
				if !errors.Is(err, djformat.ErrSignature) && !errors.Is(err, djformat.ErrPayload) && !errors.Is(err, djformat.ErrTooLarge) {
					t.Fatalf("unexpected error %v", err)
				}
				continue
			}
			checkDecoded(t, keys, d, now, cookieAge)
		}
	})
}

// checkDecoded checks that a session survives being encoded again.
func checkDecoded(t *testing.T, keys djformat.Keys, d *djformat.SessionData, now time.Time, cookieAge time.Duration) {
	t.Helper()
	d.Login()
	if e, err := d.Expiry(); err == nil {
		date := e.Date(now, cookieAge)
		if date.Year() < 1 || date.Year() > 9999 {
			t.Fatalf("expires at %v", date)
		}
		e.Age(now, cookieAge)
		again := &djformat.SessionData{Values: map[string]json.RawMessage{}}
		if v := e.Value(); v != nil {
			again.Values["_session_expiry"] = v
		}
		if e2, err := again.Expiry(); err != nil || e2.Kind != e.Kind || e2.Seconds != e.Seconds || !e2.At.Equal(e.At) {
			t.Fatalf("expiry %+v, then %+v, %v", e, e2, err)
		}
	}
	text, err := keys.EncodeSession(d.Values, now)
	if errors.Is(err, djformat.ErrTooLarge) { // escapes are longer
		return
	} else if err != nil {
		t.Fatal(err)
	}
	once, err := keys.DecodeSession(text)
	if err != nil || len(once.Values) != len(d.Values) {
		t.Fatalf("%q became %q, %v", d.Payload, text, err)
	}
	text, err = keys.EncodeSession(once.Values, now)
	if err != nil {
		t.Fatal(err)
	}
	twice, err := keys.DecodeSession(text)
	if err != nil || !maps.EqualFunc(once.Values, twice.Values, sameRaw) {
		t.Fatalf("%q became %q, %v", once.Payload, text, err)
	}
}

func BenchmarkReader(b *testing.B) {
	dump := readFile(b, "auth.json")
	b.SetBytes(int64(len(dump)))
	for b.Loop() {
		readDump(b, dump, djformat.Limits{})
	}
}
