package latchbolt

// A Validator judges a new password.
type Validator interface {
	// Validate returns nil, a *[FieldError] or [FieldErrors].
	Validate(password string, u *User) error
}
