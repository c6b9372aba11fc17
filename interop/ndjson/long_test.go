package ndjson_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/interop/ndjson"
)

// A pass counts what is read behind the last return to the start.
type pass struct {
	io.ReadSeeker
	read int64
}

func (p *pass) Read(b []byte) (int, error) {
	n, err := p.ReadSeeker.Read(b)
	p.read += int64(n)
	return n, err
}

func (p *pass) Seek(offset int64, whence int) (int64, error) {
	at, err := p.ReadSeeker.Seek(offset, whence)
	if err == nil && at == 0 {
		p.read = 0
	}
	return at, err
}

// TestLongLinesAreNotReadAhead: records take some ten times the memory of their lines, so few that are long are in memory at once. The first line
// here cannot be stored; what the others say has not been read by then.
func TestLongLinesAreNotReadAhead(t *testing.T) {
	const lines = 20
	line := `{"username":"ada","user_permissions":[` + strings.TrimSuffix(strings.Repeat(`"a.b",`, 100_000), ",") + "]}\n"
	in := &pass{ReadSeeker: strings.NewReader(strings.Repeat(line, lines))}
	if _, err := ndjson.Import(t.Context(), open(t, config()), in, nil); err == nil {
		t.Fatal("the permission is not defined, and there is no error")
	}
	if most := int64(3 * len(line)); in.read > most {
		t.Errorf("%d bytes were read of lines of %d, one of which could not be stored; want at most %d", in.read, len(line), most)
	}
}

// TestManyObjectsTravel: what is exported of a user with grants for many objects can be imported.
func TestManyObjectsTravel(t *testing.T) {
	eng := open(t, config())
	u := &latchbolt.User{Username: "ada"}
	if err := eng.InsertUser(t.Context(), u, latchbolt.PasswordHash{}); err != nil {
		t.Fatal(err)
	}
	if err := eng.Define(t.Context(), latchbolt.Permission{App: "blog", Codename: "change_post"}); err != nil {
		t.Fatal(err)
	}
	tail := strings.Repeat("x", 220)
	err := eng.Update(t.Context(), func(tx *latchbolt.Tx) error {
		for i := range 5000 {
			if err := tx.Grant(u.ID, "blog.change_post", latchbolt.Object(fmt.Sprintf("post:%d:%s", i, tail))); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := ndjson.Export(t.Context(), eng, &out, nil); err != nil {
		t.Fatal(err)
	}
	if out.Len() < 1<<20 {
		t.Fatalf("the export has %d bytes", out.Len())
	}
	other := open(t, config())
	if _, err := ndjson.Import(t.Context(), other, bytes.NewReader(out.Bytes()), nil); err != nil {
		t.Fatal(err)
	}
	var again bytes.Buffer
	if _, err := ndjson.Export(t.Context(), other, &again, nil); err != nil || !bytes.Equal(out.Bytes(), again.Bytes()) {
		t.Errorf("exported again: %v, %d bytes, want the %d of before", err, again.Len(), out.Len())
	}
}
