package djformat

// Limits bounds what a [Reader] accepts. A field that is zero or negative
// stands for the default given beside it. The limits on texts are the sizes of
// Django's columns and count characters; SQLite does not enforce them, so that
// a dump from there may need larger ones.
type Limits struct {
	RecordBytes   int // bytes of one record, of any model: 1 MiB
	Depth         int // nested lists and objects in a record: 64
	SkippedModels int // different models that are skipped: 1000

	AppLabel       int // app_label of a content type: 100
	Model          int // model of a content type: 100
	PermissionName int // name of a permission: 255
	Codename       int // codename of a permission: 100
	GroupName      int // name of a group: 150
	Username       int // username: 150
	PersonName     int // first_name and last_name: 150
	Email          int // email: 254
	Password       int // password, which is the encoded hash: 128
	SessionKey     int // primary key of a session: 40
	SessionData    int // session_data: 1 Mi characters
}

// withDefaults returns l with every field set.
func (l Limits) withDefaults() Limits {
	for _, f := range []struct {
		field *int
		value int
	}{
		{&l.RecordBytes, 1 << 20},
		{&l.Depth, 64},
		{&l.SkippedModels, 1000},
		{&l.AppLabel, 100},
		{&l.Model, 100},
		{&l.PermissionName, 255},
		{&l.Codename, 100},
		{&l.GroupName, 150},
		{&l.Username, 150},
		{&l.PersonName, 150},
		{&l.Email, 254},
		{&l.Password, 128},
		{&l.SessionKey, 40},
		{&l.SessionData, 1 << 20},
	} {
		if *f.field <= 0 {
			*f.field = f.value
		}
	}
	return l
}
