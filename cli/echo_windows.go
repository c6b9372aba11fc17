package cli

import (
	"os"

	"golang.org/x/sys/windows"
)

// echoOff makes a console show nothing of what is typed, and returns what undoes it.
func echoOff(f *os.File) (undo func(), err error) {
	console := windows.Handle(f.Fd())
	var before uint32
	if err := windows.GetConsoleMode(console, &before); err != nil {
		return nil, os.NewSyscallError("GetConsoleMode", err)
	}
	quiet := before &^ windows.ENABLE_ECHO_INPUT
	quiet |= windows.ENABLE_LINE_INPUT | windows.ENABLE_PROCESSED_INPUT
	if err := windows.SetConsoleMode(console, quiet); err != nil {
		return nil, os.NewSyscallError("SetConsoleMode", err)
	}
	return func() { _ = windows.SetConsoleMode(console, before) }, nil
}
