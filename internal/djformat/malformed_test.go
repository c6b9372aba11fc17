package djformat_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/latchbolt-go/latchbolt/internal/djformat"
)

const (
	goodGroup   = `{"model":"auth.group","pk":1,"fields":{"name":"g","permissions":[]}}`
	goodSession = `{"model":"sessions.session","pk":"k","fields":{"session_data":"d","expire_date":"2026-01-01T00:00:00Z"}}`
	goodUser    = `{"model":"auth.user","pk":1,"fields":{"password":"!","last_login":null,"is_superuser":false,"username":"u",` +
		`"first_name":"","last_name":"","email":"","is_staff":false,"is_active":true,"date_joined":"2026-01-01T00:00:00Z",` +
		`"groups":[],"user_permissions":[]}}`
	goodPermission = `{"model":"auth.permission","pk":1,"fields":{"name":"n","content_type":1,"codename":"c"}}`
)

// A malformed dump has a mark ‸ where the trouble begins, which is taken out.
// Without mark the position is that of the end.
type malformed struct {
	why    string
	dump   string
	record int
	model  string
	field  string
	msg    string // part of the message
}

// change returns a good record with one part replaced.
func change(record, old, new string) string {
	if strings.Count(record, old) != 1 {
		panic(fmt.Sprintf("%q is not in %q once", old, record))
	}
	return strings.Replace(record, old, new, 1)
}

func malformedForms() []malformed {
	return []malformed{
		{"an empty file", "", 0, "", "", "empty"},
		{"white space only", " \n\t\r\n", 0, "", "", "empty"},
		{"a byte order mark", "‸\ufeff[]", 0, "", "", "byte order mark"},
		{"UTF-16, little endian", "‸\xff\xfe[\x00]\x00", 0, "", "", "UTF-16"},
		{"UTF-16, big endian", "‸\xfe\xff\x00[\x00]", 0, "", "", "UTF-16"},
		{"UTF-16 without mark", "‸[\x00]\x00", 0, "", "", "UTF-16"},
		{"gzip", "‸\x1f\x8b\x08", 0, "", "", "gzip"},
		{"bzip2", "‸BZh9", 0, "", "", "bzip2"},
		{"xz", "‸\xfd7zXZ", 0, "", "", "xz"},
		{"zip", "‸PK\x03\x04", 0, "", "", "zip"},
		{"a database", "‸SQLite format 3\x00", 0, "", "", "database"},
		{"XML", " ‸<?xml version=\"1.0\"?>", 0, "", "", "XML"},
		{"YAML", "‸- model: auth.user\n  pk: 1\n", 0, "", "", "YAML"},
		{"YAML with a comment", "‸# dump\n", 0, "", "", "YAML"},
		{"a word", "‸null", 0, "", "", "not JSON"},
		{"a number", "‸17", 0, "", "", "not a dump"},
		{"a text", "‸\"x\"", 0, "", "", "not a dump"},
		{"cut short after the bracket", "[", 0, "", "", "cut short"},
		{"cut short after a record", "[" + goodGroup, 1, "", "", "cut short"},
		{"cut short after a comma", "[" + goodGroup + ",", 1, "", "", "cut short"},
		{"cut short in a record", "[" + goodGroup + "," + goodUser[:50], 2, "", "", "cut short"},
		{"cut short in an escape", `[{"model":"\`, 1, "", "", "cut short"},
		{"cut short in a line", goodGroup + "\n" + goodUser[:50], 2, "", "", "cut short"},
		{"text after the end", "[" + goodGroup + "] ‸x", 1, "", "", "after the closing bracket"},
		{"a second bracket", "[]‸]", 0, "", "", "after the closing bracket"},
		{"two dumps in one file", "[" + goodGroup + "]\n‸[" + goodUser + "]", 1, "", "", "second list"},
		{"a comma before the end", "[" + goodGroup + ",‸]", 1, "", "", "remove the comma"},
		{"a missing comma", "[" + goodGroup + "\n‸" + goodGroup + "]", 1, "", "", "comma"},
		{"a colon for a comma", "[" + goodGroup + "‸:" + goodGroup + "]", 1, "", "", "comma"},
		{"two commas", "[" + goodGroup + ",‸," + goodGroup + "]", 2, "", "", "not an object"},
		{"a comma after a line", goodGroup + "‸,\n" + goodGroup, 2, "", "", "not an object"},
		{"a list for a record", "[" + goodGroup + ",‸[]]", 2, "", "", "not an object"},
		{"null for a record", "[‸null]", 1, "", "", "not an object"},
		{"brackets that do not match", "[" + goodGroup + "," + `{"model":‸]}`, 2, "", "", "not JSON"},
		{"a single quote", `[{‸'model':1}]`, 1, "", "", "not JSON"},
		{"NaN", `[` + goodGroup + `,{"model":"a.b","fields":{"x":‸NaN}}]`, 2, "", "", "not JSON"},
		{"a raw line break in a text", "[{\"model\":\"a‸\nb\"}]", 1, "", "", "not JSON"},
		{"a bad escape", `[{"model":"a\‸x"}]`, 1, "", "", "not JSON"},
		{"a byte that is not UTF-8", "[" + goodGroup + "," + `{"model":"auth.group","pk":2,"fields":{"name":"g‸` + "\xe9" + `","permissions":[]}}]`,
			2, "", "", "not UTF-8"},
		{"a surrogate in UTF-8", "[{\"model\":\"‸\xed\xa0\x80\"}]", 1, "", "", "not UTF-8"},
		{"an overlong NUL", "[{\"x\":\"‸\xc0\x80\"}]", 1, "", "", "not UTF-8"},
		{"a bomb of lists", `[{"model":"a.b","x":` + strings.Repeat("[", 63) + "‸[" + strings.Repeat("[", 1_000_000), 1, "", "", "Limits.Depth"},
		{"a bomb of objects", `[{"model":"a.b","x":` + strings.Repeat(`{"a":`, 63) + `‸{"a":` + strings.Repeat(`{"a":`, 100_000), 1, "", "", "Limits.Depth"},
		{"a record that never ends", "[" + goodGroup + `,‸{"model":"` + strings.Repeat("x", 1<<20), 2, "", "", "Limits.RecordBytes"},
	}
}

func malformedRecords() []malformed {
	list := func(record string) string { return "[" + goodSession + ",\n" + record + "]" }
	user := func(old, new string) string { return list(change(goodUser, old, new)) }
	group := func(old, new string) string { return list(change(goodGroup, old, new)) }
	const u, g, s, p = "auth.user", "auth.group", "sessions.session", "auth.permission"
	return []malformed{
		{"no model", list(`‸{"pk":1,"fields":{}}`), 2, "", "model", "missing"},
		{"not a dump at all", `‸{"users":[]}`, 1, "", "model", "missing"},
		{"a model that is a number", list(`{"model":‸7}`), 2, "", "model", "is a number but must be a text"},
		{"a model without dot", list(`{"model":‸"user"}`), 2, "", "model", "app label"},
		{"a model without name", list(`{"model":‸"auth."}`), 2, "", "model", "app label"},
		{"a long model", list(`{"model":‸"a.` + strings.Repeat("x", 200) + `"}`), 2, "", "model", "Limits.Model"},
		{"the model twice", list(`{"model":"auth.group",‸"model":"auth.user","pk":1}`), 2, "", "model", "twice"},
		{"an unknown key twice", list(`{"a\nb":1,"model":"auth.group" , ‸"a\u000ab":2}`), 2, "", "a\nb", "twice"},
		{"a field twice", user(`"username":"u"`, `"username":"u",‸"username":"v"`), 2, u, "username", "twice"},
		{"a field twice in disguise", user(`"username":"u"`, `"username":"u",‸"user\u006eame":"v"`), 2, u, "username", "twice"},
		{"no fields", list(`‸{"model":"auth.group","pk":1}`), 2, g, "fields", "missing"},
		{"fields that are a list", list(`{"model":"auth.group","pk":1,"fields":‸[]}`), 2, g, "fields", "is a list but must be an object"},
		{"a missing user name", list(strings.Replace(change(goodUser, `"username":"u",`, ``), `"fields":{`, `"fields":‸{`, 1)), 2, u, "username", "missing"},
		{"a missing last login", list(strings.Replace(change(goodUser, `"last_login":null,`, ``), `"fields":{`, `"fields":‸{`, 1)), 2, u, "last_login", "missing"},
		{"a field in capitals", list(strings.Replace(change(goodUser, `"username"`, `"Username"`), `"fields":{`, `"fields":‸{`, 1)), 2, u, "username", "missing"},
		{"a user name that is null", user(`"username":"u"`, `"username":‸null`), 2, u, "username", "is null but must be a text"},
		{"a password that is a number", user(`"password":"!"`, `"password": ‸12`), 2, u, "password", "is a number but must be a text"},
		{"a flag that is a number", user(`"is_staff":false`, `"is_staff":‸0`), 2, u, "is_staff", "is a number but must be true or false"},
		{"a flag that is a text", user(`"is_active":true`, `"is_active":‸"true"`), 2, u, "is_active", "is a text but must be true or false"},
		{"a time that is a number", user(`"last_login":null`, `"last_login":‸1700000000`), 2, u, "last_login", "is a number but must be a text"},
		{"a time that is null", user(`"date_joined":"2026-01-01T00:00:00Z"`, `"date_joined":‸null`), 2, u, "date_joined", "is null"},
		{"a time that does not exist", user(`"date_joined":"2026-01-01T00:00:00Z"`, `"date_joined":‸"2026-02-30T00:00:00Z"`), 2, u, "date_joined", "does not exist"},
		{"a time in words", user(`"last_login":null`, `"last_login":‸"yesterday"`), 2, u, "last_login", "of the form"},
		{"groups that are null", user(`"groups":[]`, `"groups":‸null`), 2, u, "groups", "is null but must be a list"},
		{"a group by name without list", user(`"groups":[]`, `"groups":[1,‸"Librarians"]`), 2, u, "groups", "the name of a group"},
		{"a group with two names", user(`"groups":[]`, `"groups":[1,‸["a","b"]]`), 2, u, "groups", "2 parts"},
		{"a group whose name is a number", user(`"groups":[]`, `"groups":[1,[‸7]]`), 2, u, "groups", "is a number but must be a text"},
		{"a permission with two parts", user(`"user_permissions":[]`, `"user_permissions":[‸["add_book","catalog"]]`), 2, u, "user_permissions", "a codename, an app label and a model"},
		{"a permission in a list of lists", user(`"user_permissions":[]`, `"user_permissions":[["a",‸["b"],"c"]]`), 2, u, "user_permissions", "is a list but must be a text"},
		{"a permission that is an object", group(`"permissions":[]`, `"permissions":[‸{}]`), 2, g, "permissions", "is an object"},
		{"a content type that is null", list(change(goodPermission, `"content_type":1`, `"content_type":‸null`)), 2, p, "content_type", "is null"},
		{"a content type with one part", list(change(goodPermission, `"content_type":1`, `"content_type":‸["a"]`)), 2, p, "content_type", "1 parts"},
		{"a primary key that is a text", group(`"pk":1`, `"pk":‸"1"`), 2, g, "pk", "is a text but must be an integer"},
		{"a primary key that is a list", group(`"pk":1`, `"pk":‸["g"]`), 2, g, "pk", "is a list but must be an integer"},
		{"a primary key of zero", group(`"pk":1`, `"pk":‸0`), 2, g, "pk", "out of range"},
		{"a negative primary key", group(`"pk":1`, `"pk":‸-5`), 2, g, "pk", "out of range"},
		{"a primary key above 63 bits", group(`"pk":1`, `"pk":‸9223372036854775808`), 2, g, "pk", "out of range"},
		{"a primary key with a fraction", group(`"pk":1`, `"pk":‸1.0`), 2, g, "pk", "not an integer"},
		{"a primary key with an exponent", group(`"pk":1`, `"pk":‸1e2`), 2, g, "pk", "not an integer"},
		{"a reference above 63 bits", group(`"permissions":[]`, `"permissions":[1,‸99999999999999999999]`), 2, g, "permissions", "out of range"},
		{"a session without key", list(change(`‸`+goodSession, `"pk":"k",`, ``)), 2, s, "pk", "missing"},
		{"a session with an empty key", list(change(goodSession, `"pk":"k"`, `"pk":‸""`)), 2, s, "pk", "empty"},
		{"a session with a number", list(change(goodSession, `"pk":"k"`, `"pk":‸7`)), 2, s, "pk", "is a number"},
		{"half a surrogate pair", group(`"name":"g"`, `"name":"\n\\‸\ud83dx"`), 2, g, "name", "surrogate"},
		{"two first halves", group(`"name":"g"`, `"name":"‸\ud83d\ud83d"`), 2, g, "name", "surrogate"},
		{"the other half", group(`"name":"g"`, `"name":"\ud83d\udd11‸\udd11"`), 2, g, "name", "surrogate"},
	}
}

func TestMalformedDumps(t *testing.T) {
	tests := append(malformedForms(), malformedRecords()...)
	for _, test := range tests {
		checkMalformed(t, djformat.Limits{}, test)
	}
	counted(t, "malformed dumps", len(tests))
}

func checkMalformed(t *testing.T, limits djformat.Limits, test malformed) {
	t.Helper()
	before, after, marked := strings.Cut(test.dump, "‸")
	records, err := collect(djformat.NewReader(strings.NewReader(before+after), limits))
	var got *djformat.SyntaxError
	if !errors.As(err, &got) {
		t.Errorf("%s: %d records and %v", test.why, len(records), err)
		return
	}
	if got.Record != test.record || got.Offset != int64(len(before)) || got.Model != test.model || got.Field != test.field {
		t.Errorf("%s (marked: %v): record %d, byte %d, model %q, field %q; want %d, %d, %q, %q; %v", test.why, marked,
			got.Record, got.Offset, got.Model, got.Field, test.record, len(before), test.model, test.field, err)
	}
	if !strings.Contains(got.Msg, test.msg) {
		t.Errorf("%s: message %q does not say %q", test.why, got.Msg, test.msg)
	}
	if text := err.Error(); !strings.HasPrefix(text, "djformat: ") || strings.ContainsAny(text, "\n\x00") || len(text) > 500 {
		t.Errorf("%s: unsuitable text %q", test.why, text)
	}
}

// Every limit has a name, which its message tells, and can be raised.
func TestLimitsAreNamed(t *testing.T) {
	long := func(n int) string { return strings.Repeat("é", n) }
	contentType := `{"model":"contenttypes.contenttype","pk":1,"fields":{"app_label":"a","model":"m"}}`
	for _, test := range []struct {
		name   string
		limit  int
		record string
		old    string // replaced by text of the length of the limit, and one more
		raised djformat.Limits
	}{
		{"AppLabel", 100, contentType, `"a"`, djformat.Limits{AppLabel: 101}},
		{"Model", 100, contentType, `"m"`, djformat.Limits{Model: 101}},
		{"PermissionName", 255, goodPermission, `"n"`, djformat.Limits{PermissionName: 256}},
		{"Codename", 100, goodPermission, `"c"`, djformat.Limits{Codename: 101}},
		{"GroupName", 150, goodGroup, `"g"`, djformat.Limits{GroupName: 151}},
		{"Password", 128, goodUser, `"!"`, djformat.Limits{Password: 129}},
		{"Username", 150, goodUser, `"u"`, djformat.Limits{Username: 151}},
		{"PersonName", 150, change(goodUser, `"first_name":""`, `"first_name":"x"`), `"x"`, djformat.Limits{PersonName: 151}},
		{"PersonName", 150, change(goodUser, `"last_name":""`, `"last_name":"x"`), `"x"`, djformat.Limits{PersonName: 151}},
		{"Email", 254, change(goodUser, `"email":""`, `"email":"x"`), `"x"`, djformat.Limits{Email: 255}},
		{"SessionKey", 40, goodSession, `"k"`, djformat.Limits{SessionKey: 41}},
	} {
		good, bad := change(test.record, test.old, `"`+long(test.limit)+`"`), change(test.record, test.old, `"`+long(test.limit+1)+`"`)
		readDump(t, []byte(good), djformat.Limits{})
		readDump(t, []byte(bad), test.raised)
		_, err := collect(djformat.NewReader(strings.NewReader(bad), djformat.Limits{}))
		if want := fmt.Sprintf("has %d characters but may have %d (Limits.%s)", test.limit+1, test.limit, test.name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	checkMalformed(t, djformat.Limits{SessionData: 3}, malformed{"session data",
		change(goodSession, `"d"`, `‸"dddd"`), 1, "sessions.session", "session_data", "Limits.SessionData"})
	checkMalformed(t, djformat.Limits{SkippedModels: 2}, malformed{"many models",
		`[{"model":"a.b"},{"model":"a.c"},{"model":"a.b"},‸{"model":"a.d"}]`, 4, "a.d", "model", "Limits.SkippedModels"})
	checkMalformed(t, djformat.Limits{Depth: 2}, malformed{"depth",
		`[{"model":"a.b","x":[‸{}]}]`, 1, "", "", "Limits.Depth"})
	exact := len(goodGroup)
	readDump(t, []byte(goodGroup), djformat.Limits{RecordBytes: exact})
	checkMalformed(t, djformat.Limits{RecordBytes: exact - 1}, malformed{"length", "‸" + goodGroup, 1, "", "", "Limits.RecordBytes"})
}
