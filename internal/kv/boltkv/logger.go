package boltkv

import (
	"fmt"
	"strings"
	"sync/atomic"
)

// A logger is not for logging. When a commit fails, bbolt tells its logger
// first and then scans the file for free pages, in a goroutine in which a
// damaged page or a failing disk would end the process. The call of
// the logger is the last moment to prevent that: it panics, tryCommit
// recovers, and the transaction is rolled back without a scan.
type logger struct {
	// committing is set while a commit runs. It decides whether bbolt may go
	// on to its scan after the error given.
	committing atomic.Pointer[func(error) bool]
}

// An abort is the panic that leaves a failing commit.
type abort struct {
	cause error
}

// beforeScan holds how the messages start that bbolt logs in a commit before
// it rolls back.
var beforeScan = []string{
	"allocating failed", "spilling data", "committing freelist failed",
	"growing db size failed", "writing data failed", "writeMeta failed",
}

// Errorf implements bbolt's Logger. The last argument is the error.
func (l *logger) Errorf(format string, args ...any) {
	fit := l.committing.Load()
	if fit == nil {
		return
	}
	for _, start := range beforeScan {
		if !strings.HasPrefix(format, start) {
			continue
		}
		var cause error
		if len(args) > 0 {
			cause, _ = args[len(args)-1].(error)
		}
		if cause == nil {
			cause = fmt.Errorf(format, args...)
		}
		if (*fit)(cause) {
			return
		}
		panic(abort{cause})
	}
}

// The rest of bbolt's Logger does nothing.

func (*logger) Debug(...any)            {}
func (*logger) Debugf(string, ...any)   {}
func (*logger) Error(...any)            {}
func (*logger) Info(...any)             {}
func (*logger) Infof(string, ...any)    {}
func (*logger) Warning(...any)          {}
func (*logger) Warningf(string, ...any) {}
func (*logger) Fatal(...any)            {}
func (*logger) Fatalf(string, ...any)   {}
func (*logger) Panic(...any)            {}
func (*logger) Panicf(string, ...any)   {}
