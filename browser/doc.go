// Package browser has no code but tests: it goes through the pages of authhttp, of the console and of examples/intranet with a real
// browser, Debian's Chromium, as people do, and looks at every page in light and dark, on a desk and on a phone.
//
//	go test -v ./...                            # needs Chromium, and npm for axe-core; says so where one is missing
//	go test -v -run TestLooks -shots DIR ./...  # also writes a picture of every page into a folder
//	go test -v -run TestLooks -docs ./...       # makes the pictures in docs/img anew
//
// Tests leave the demonstration changed, so each runs once: not with -count 2. BROWSER_PATH names another browser.
//
// The intranet runs as a process of its own, listens on loopback and keeps what it has in a temporary folder.
package browser
