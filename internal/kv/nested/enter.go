package nested

// The functions below are the same but for their addresses, which is what
// they are for. None may be inlined.

var enters = [slots]func(Closure) error{
	enter0, enter1, enter2, enter3, enter4, enter5, enter6, enter7,
	enter8, enter9, enter10, enter11, enter12, enter13, enter14, enter15,
}

//go:noinline
func enter0(c Closure) error { return c.Run() }

//go:noinline
func enter1(c Closure) error { return c.Run() }

//go:noinline
func enter2(c Closure) error { return c.Run() }

//go:noinline
func enter3(c Closure) error { return c.Run() }

//go:noinline
func enter4(c Closure) error { return c.Run() }

//go:noinline
func enter5(c Closure) error { return c.Run() }

//go:noinline
func enter6(c Closure) error { return c.Run() }

//go:noinline
func enter7(c Closure) error { return c.Run() }

//go:noinline
func enter8(c Closure) error { return c.Run() }

//go:noinline
func enter9(c Closure) error { return c.Run() }

//go:noinline
func enter10(c Closure) error { return c.Run() }

//go:noinline
func enter11(c Closure) error { return c.Run() }

//go:noinline
func enter12(c Closure) error { return c.Run() }

//go:noinline
func enter13(c Closure) error { return c.Run() }

//go:noinline
func enter14(c Closure) error { return c.Run() }

//go:noinline
func enter15(c Closure) error { return c.Run() }
