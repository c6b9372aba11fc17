// Package djformat reads and writes the formats in which Django keeps its
// users: the JSON of dumpdata and loaddata, values signed by
// django.core.signing, and sessions.
//
// Start with [NewReader] for a dump and [NewWriter] for the way back. [Keys]
// decodes the sessions of a dump, and [Signer] does what signing.dumps and
// signing.loads do. The package knows nothing about the engine: it turns bytes
// into records and records into bytes, and leaves it to the caller whether a
// user name is acceptable or a reference leads anywhere.
//
// Answers of Django 5.2 and 6.1 are in testdata/django; the tests compare
// with them row by row. No error of this package quotes a password hash, a
// session or a secret key.
package djformat
