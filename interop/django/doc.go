// Package django takes over the users of a Django project, with their passwords, groups, permissions
// and sessions, and gives them back.
//
// On the Django side, make a dump and note the SECRET_KEY:
//
//	manage.py dumpdata contenttypes auth sessions --output dump.json
//
// Then [Create] makes a new file from it, whole or not at all:
//
//	eng, report, err := django.Create(ctx, "app.db", dump, nil, &django.ImportOptions{SecretKey: key})
//
// [Import] does the same for an engine that is open and has never held anything. With the
// SECRET_KEY, users stay logged in with the cookies they have. Whatever could not be taken over as it is
// stands in the [Report]; a dump that is damaged or contradicts itself is refused
// with the place of the trouble, and nothing is taken over.
//
// [Export] writes a dump that manage.py loaddata accepts.
//
// What is the same as in Django, and what is not, is in docs/MIGRATING.md.
package django
