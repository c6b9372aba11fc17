package authhttp

import (
	"strconv"
	"time"
)

// A device is one session as its owner sees it.
type device struct {
	ID       string
	Name     string // given by the user; may be empty
	Agent    string // what it is, such as "Firefox on Linux"
	Addr     string
	Created  time.Time
	LastSeen time.Time
	Expires  time.Time
	Current  bool // it is this one
}

// An event is one line of the audit trail as the user it is about sees it.
type event struct {
	Time   time.Time
	What   string
	Addr   string
	Failed bool
}

func itoa(n int) string { return strconv.Itoa(n) }
