package latchbolt_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/latchbolt-go/latchbolt"
)

func TestValuesOfAnyType(t *testing.T) {
	type cart struct {
		Items map[string][]int `json:"items"`
		Note  *string
	}
	note := "<b>"
	for what, v := range map[string]any{
		"text": "hällo \x00 <&> \u2028", "empty text": "", "number": 7.25, "large number": uint64(math.MaxUint64), "true": true,
		"list": []any{"a", 1.0, nil}, "map": map[string]any{"a": map[string]any{"b": "c"}}, "struct": cart{Items: map[string][]int{"x": {1, 2}}, Note: &note},
		"raw": json.RawMessage(`{"a":[1,2]}`), "number as it is": json.Number("1e400"),
	} {
		eng := open(t, nil)
		s, err := eng.NewSession(t.Context(), latchbolt.LoginOptions{})
		must(t, "session", err)
		_, err = eng.UpdateValues(t.Context(), s.Token, func(vs *latchbolt.Values) error { return vs.Set(what, v) })
		must(t, what, err)
		got := reflect.New(reflect.TypeOf(v))
		vs, err := eng.Values(t.Context(), s.Token)
		must(t, what, err)
		if ok, err := vs.Get(what, got.Interface()); !ok || err != nil || !reflect.DeepEqual(got.Elem().Interface(), v) {
			t.Errorf("%s: got %v, %v, %v", what, got.Elem(), ok, err)
		}
	}
}

func TestValuesMethods(t *testing.T) {
	var v latchbolt.Values
	if v.Changed() || v.Len() != 0 || v.Has("a") || v.Names() != nil {
		t.Error("the zero Values is not empty")
	}
	var s string
	for what, read := range map[string]func() (bool, error){
		"Get": func() (bool, error) { return v.Get("a", &s) },
		"Pop": func() (bool, error) { return v.Pop("a", &s) },
	} {
		if ok, err := read(); ok || err != nil || v.Changed() {
			t.Errorf("%s of what is not there: %v, %v, changed %v", what, ok, err, v.Changed())
		}
	}
	v.Delete("a")
	if v.Changed() {
		t.Error("deleting what is not there changes something")
	}
	must(t, "set", v.Set("b", "x"))
	must(t, "set", v.Set("a", 1))
	if !v.Changed() || v.Len() != 2 || !slices.Equal(v.Names(), []string{"a", "b"}) || !v.Has("a") {
		t.Errorf("after Set: %v", v.Names())
	}
	if ok, err := v.Pop("a", &s); !ok || err == nil || !v.Has("a") {
		t.Errorf("popping into another type: %v, %v", ok, err)
	}
	d := "y"
	must(t, "default", v.SetDefault("b", &d))
	if d != "x" {
		t.Errorf("SetDefault of what is there: got %q", d)
	}
	d = "y"
	must(t, "default", v.SetDefault("c", &d))
	if ok, err := v.Pop("c", &s); !ok || err != nil || s != "y" || v.Has("c") {
		t.Errorf("Pop: got %q, %v, %v", s, ok, err)
	}
	v.Clear()
	if v.Len() != 0 || !v.Changed() {
		t.Error("Clear does not clear")
	}
	for what, err := range map[string]error{
		"no name": v.Set("", 1), "a name of 129 bytes": v.Set(strings.Repeat("x", 129), 1),
		"a function": v.Set("f", func() {}), "not a number": v.Set("n", math.NaN()), "broken JSON": v.Set("r", json.RawMessage("{")),
	} {
		if err == nil {
			t.Errorf("%s was taken", what)
		}
	}
	if v.Len() != 0 {
		t.Errorf("a refused value is there: %v", v.Names())
	}
	must(t, "a name of 128 bytes", v.Set(strings.Repeat("x", 128), 1))
}

func TestUpdateValues(t *testing.T) {
	eng := open(t, &latchbolt.Config{SweepEvery: -1})
	ctx := t.Context()
	s, err := eng.NewSession(ctx, latchbolt.LoginOptions{})
	must(t, "session", err)
	update := func(fn func(*latchbolt.Values) error) error {
		tok, err := eng.UpdateValues(ctx, s.Token, fn)
		if tok != s.Token {
			t.Error("another token")
		}
		return err
	}
	must(t, "set", update(func(v *latchbolt.Values) error { return v.Set("a", "1") }))
	before := commits(t, eng)
	must(t, "reading only", update(func(v *latchbolt.Values) error {
		var a, none string
		_, err := v.Get("a", &a)
		_, err2 := v.Pop("none", &none)
		v.Delete("none")
		if a != "1" || v.Changed() {
			t.Errorf("got %q, changed %v", a, v.Changed())
		}
		return errors.Join(err, err2)
	}))
	if n := commits(t, eng) - before; n != 0 {
		t.Errorf("%d commits without a change", n)
	}
	errFail := errors.New("fail")
	want(t, "failing", update(func(v *latchbolt.Values) error { return errors.Join(v.Set("a", "2"), errFail) }), errFail)
	want(t, "too much", update(func(v *latchbolt.Values) error { return v.Set("big", strings.Repeat("x", 60<<10)) }), latchbolt.ErrInvalid)
	if got := value(t, eng, s.Token, "a"); got != "1" {
		t.Errorf("after failures: got %q", got)
	}
	must(t, "nearly too much", update(func(v *latchbolt.Values) error { return v.Set("big", strings.Repeat("x", 59<<10)) }))
	must(t, "clear", update(func(v *latchbolt.Values) error { v.Clear(); return nil }))
	if n := records(t, eng, latchbolt.BucketValues); n != 0 {
		t.Errorf("%d records of values after Clear", n)
	}
	vs, err := eng.Values(ctx, s.Token)
	must(t, "values", err)
	must(t, "changing a copy", vs.Set("x", 1))
	if vs, err := eng.Values(ctx, s.Token); err != nil || vs.Len() != 0 {
		t.Errorf("changing a copy changed the session: %v, %v", vs.Names(), err)
	}
}

func TestEndedSessionIsNotBroughtBack(t *testing.T) {
	eng := open(t, nil)
	ctx := t.Context()
	addUser(t, eng, "ada")
	for range 50 {
		s := login(t, eng, "ada")
		errs := parallel(2, func(i int) error {
			if i == 0 {
				return eng.Logout(ctx, s.Token)
			}
			_, err := eng.UpdateValues(ctx, s.Token, func(v *latchbolt.Values) error { return v.Set("a", 1) })
			return err
		})
		must(t, "logout", errs[0])
		if errs[1] != nil {
			want(t, "update", errs[1], latchbolt.ErrNoSession)
		}
		if alive(t, eng, s.Token) {
			t.Fatal("the session came back")
		}
	}
	if n, m := records(t, eng, latchbolt.BucketSession), records(t, eng, latchbolt.BucketValues); n != 0 || m != 0 {
		t.Errorf("%d sessions and %d values are left", n, m)
	}
}

func TestConcurrentUpdatesAreAllKept(t *testing.T) {
	eng := open(t, nil)
	s, err := eng.NewSession(t.Context(), latchbolt.LoginOptions{})
	must(t, "session", err)
	for _, err := range parallel(20, func(i int) error {
		_, err := eng.UpdateValues(t.Context(), s.Token, func(v *latchbolt.Values) error {
			n := 0
			if _, err := v.Get("n", &n); err != nil {
				return err
			}
			return errors.Join(v.Set("n", n+1), v.Set(fmt.Sprint("v", i), i))
		})
		return err
	}) {
		must(t, "update", err)
	}
	v, err := eng.Values(t.Context(), s.Token)
	must(t, "values", err)
	n := 0
	if _, err := v.Get("n", &n); err != nil || n != 20 || v.Len() != 21 {
		t.Errorf("got %d, %d values, %v", n, v.Len(), err)
	}
}

// What values cannot be read again, by another name or not at all, are not kept.
func TestValuesComeBack(t *testing.T) {
	eng := open(t, nil)
	s, err := eng.NewSession(t.Context(), latchbolt.LoginOptions{})
	must(t, "NewSession", err)
	set := func(name string, value any) error {
		_, err := eng.UpdateValues(t.Context(), s.Token, func(v *latchbolt.Values) error { return v.Set(name, value) })
		return err
	}
	nested := func(n int) json.RawMessage {
		return json.RawMessage(strings.Repeat("[", n) + strings.Repeat("]", n))
	}
	must(t, "a value that is nested as deep as can be read", set("deep", nested(9999)))
	wantFields(t, "one that is nested deeper", set("deep", nested(10000)), "session invalid")
	wantFields(t, "a name that is no text", set("\xff", 1), "session invalid")
	v, err := eng.Values(t.Context(), s.Token)
	must(t, "Values", err)
	if got := v.Names(); len(got) != 1 || got[0] != "deep" {
		t.Errorf("the values kept are %q", got)
	}
}
