package latchbolt

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/latchbolt-go/latchbolt/internal/record"
)

// Values are what a program keeps in a session under names of its own: Django's
// request.session. Any value that encoding/json can encode is kept. Names that start with "_" are left to the
// engine and to frameworks by custom, but are not forbidden. A Values is a copy of what is
// stored; the zero Values is empty and ready to use. It is for one goroutine.
type Values struct {
	m       map[string]json.RawMessage
	changed bool
}

// Limits of the values of one session.
const (
	maxValueName = 128      // bytes in a name
	maxValues    = 60 << 10 // bytes in all values together, encoded
)

// Get decodes the value of a name into dst, a pointer, and reports whether
// there is one. The error is that of encoding/json.
func (v *Values) Get(name string, dst any) (bool, error) {
	raw, ok := v.m[name]
	if !ok {
		return false, nil
	}
	if err := json.Unmarshal(raw, dst); err != nil {
		return true, fmt.Errorf("latchbolt: session value %q: %w", name, err)
	}
	return true, nil
}

// Has reports whether there is a value of a name.
func (v *Values) Has(name string) bool { _, ok := v.m[name]; return ok }

// Set stores a value under a name of 1 to 128 bytes in UTF-8.
func (v *Values) Set(name string, value any) error {
	if name == "" || len(name) > maxValueName || !utf8.ValidString(name) { // encoding/json would store another name
		return &FieldError{Field: "session", Code: "invalid", Msg: fmt.Sprintf("The name of a session value has 1 to %d bytes and is valid UTF-8.", maxValueName)}
	}
	raw, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("latchbolt: session value %q: %w", name, err)
	}
	if v.m == nil {
		v.m = make(map[string]json.RawMessage)
	}
	v.m[name], v.changed = raw, true
	return nil
}

// SetDefault decodes the value of a name into dst if there is one; otherwise it
// stores what dst points to.
func (v *Values) SetDefault(name string, dst any) error {
	if ok, err := v.Get(name, dst); ok || err != nil {
		return err
	}
	return v.Set(name, dst)
}

// Pop is Get and Delete. Popping what is not there changes nothing.
func (v *Values) Pop(name string, dst any) (bool, error) {
	ok, err := v.Get(name, dst)
	if ok && err == nil {
		v.Delete(name)
	}
	return ok, err
}

// Delete removes a value. Removing what is not there changes nothing.
func (v *Values) Delete(name string) {
	if v.Has(name) {
		delete(v.m, name)
		v.changed = true
	}
}

// Clear removes all values.
func (v *Values) Clear() {
	v.m, v.changed = nil, true
}

// Names returns the names, sorted.
func (v *Values) Names() []string { return slices.Sorted(maps.Keys(v.m)) }

// Len returns how many values there are.
func (v *Values) Len() int { return len(v.m) }

// Changed reports whether a method changed something. A change inside a
// value that was got is not noticed.
func (v *Values) Changed() bool { return v.changed }

func (v *Values) encode() ([]byte, error) {
	if len(v.m) == 0 {
		return nil, nil
	}
	data, err := json.Marshal(v.m)
	switch {
	case err != nil:
	case len(data) > maxValues:
		err = &FieldError{Field: "session", Code: "max_length", Msg: fmt.Sprintf("The values of a session take %d bytes; at most %d are kept.", len(data), maxValues)}
	case !json.Valid(data): // each value is, but here it stands in an object: nobody could read them again
		err = &FieldError{Field: "session", Code: "invalid", Msg: "A session value is nested too deep."}
	}
	return data, err
}

func decodeValues(data []byte) (*Values, error) {
	v := new(Values)
	if len(data) == 0 {
		return v, nil
	}
	if err := json.Unmarshal(data, &v.m); err != nil {
		return nil, corrupt("session values", err)
	}
	return v, nil
}

// values returns the encoded values of a session.
func (tx *ReadTx) values(sel selector) ([]byte, error) {
	body, ok, err := tx.get(bucketValues, sel[:])
	if err != nil || !ok {
		return nil, err
	}
	return body.Rest(), nil
}

func (tx *Tx) putValues(sel selector, data []byte) error {
	if len(data) == 0 {
		return tx.delete(bucketValues, sel[:])
	}
	r := record.New(recordVersion)
	r.AddBytes(data)
	return tx.put(bucketValues, sel[:], r)
}

// Values returns the values of a living session.
func (e *Engine) Values(ctx context.Context, t Token) (v *Values, err error) {
	if e.vault != nil {
		return e.vault.values(ctx, &t)
	}
	err = e.view(ctx, func(tx *ReadTx) error {
		sel, _, err := tx.living(&t)
		if err != nil {
			return err
		}
		data, err := tx.values(sel)
		if err != nil {
			return err
		}
		v, err = decodeValues(data)
		return err
	})
	return v, err
}

// UpdateValues changes the values of a living session. fn may run more than
// once. If it changes nothing, nothing is written. It never brings back a session that was ended
// meanwhile: then the error is [ErrNoSession]. The token returned is the one
// given, unless sessions are sealed into tokens; send it to the client if it differs.
func (e *Engine) UpdateValues(ctx context.Context, t Token, fn func(*Values) error) (Token, error) {
	if e.vault != nil {
		return e.vault.updateValues(ctx, &t, fn)
	}
	err := e.update(ctx, func(tx *Tx) error {
		sel, _, err := tx.living(&t)
		if err != nil {
			return err
		}
		data, err := tx.values(sel)
		if err != nil {
			return err
		}
		v, err := decodeValues(data)
		if err != nil {
			return err
		}
		if err := fn(v); err != nil || !v.changed {
			return err
		}
		if data, err = v.encode(); err != nil {
			return err
		}
		return tx.putValues(sel, data)
	})
	return t, err
}
