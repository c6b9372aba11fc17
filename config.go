package latchbolt

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"time"
)

var errFileExists = fs.ErrExist

// Config says how an Engine works. Nil, and the zero Config, mean the
// defaults; [Open] copies it. For numbers and durations 0 means the default
// and a negative value "off" or "no limit", unless the field says otherwise.
type Config struct {
	// Create makes the file if there is none. Without it a missing file is an
	// error, so that a mistyped path does not give an empty system.
	Create bool
	// CaseSensitive makes names that differ only in case different users. It
	// counts when the file is made and is kept in it.
	CaseSensitive bool
	// UniqueEmail refuses a second user with the same e-mail address.
	UniqueEmail bool
	// LockTimeout is how long Open waits for another process to let go of the
	// file. 0 means 1 s; negative means not at all.
	LockTimeout time.Duration
	// MaxFileSize is the size in bytes that the file may grow to. 0 means no limit.
	MaxFileSize int64

	// Hashers are the ways to make password hashes; the first makes new ones,
	// and a hash that another one made is replaced at the next login if that
	// does not make it weaker. Nil means [DefaultHashers]. Hashes that
	// Django and other systems made are read in any case.
	Hashers []Hasher
	// LegacyHashes also lets the unsalted and SHA-1 forms of very old Django
	// versions and of htpasswd log in. They are replaced at the first login.
	LegacyHashes bool
	// Peppers are keys that are mixed into passwords before hashing and live
	// outside the file. The first is used for new hashes, all for checking.
	Peppers []Pepper
	// HashSlots is how many passwords may be hashed at the same time. 0 means
	// GOMAXPROCS. While all slots hash, other goroutines get a processor only when Go takes one away from
	// a hash, which is after 10 ms; with fewer slots than processors they never wait. Hashing takes up to three times the memory of
	// all slots, 19 MiB each with the default hasher: what one is done with is garbage until Go collects it (GOGC).
	HashSlots int
	// HashQueue is how many more may wait for a slot; beyond that
	// [ErrBusy] is returned. 0 means 16 for each slot, negative none.
	HashQueue int
	// Validators judge new passwords. Nil means [DefaultValidators]; an empty
	// slice means none.
	Validators []Validator

	// Backends prove who somebody is, in this order. Nil means
	// [PasswordBackend] alone.
	Backends []Backend

	// SessionLifetime is how long a session lives at most. 0 means 14 days, as
	// in Django.
	SessionLifetime time.Duration
	// SessionIdle ends a session that is not used for so long, in whole seconds. 0 means 24 h;
	// negative means that only the lifetime counts.
	SessionIdle time.Duration
	// RememberLifetime is the lifetime of a session with "remember me", which
	// has no idle limit. 0 means 30 days, the most of NIST SP 800-63B-4 for AAL1.
	RememberLifetime time.Duration
	// SessionLimit is how many sessions one user may have; a further login ends
	// the oldest. 0 means 100; negative means no limit.
	SessionLimit int
	// FreshFor is how long after giving the password a session counts as fresh;
	// see [Engine.Fresh]. 0 means 15 minutes.
	FreshFor time.Duration
	// Sessions is where sessions live. Nil means in the file, which alone
	// gives everything that this package promises; see [SessionStore].
	Sessions SessionStore
	// SweepEvery is how often what expired is removed from the file. 0 means
	// every hour; negative means only when [Engine.Sweep] is called.
	SweepEvery time.Duration

	// TokenLifetime is how long a one-time token lives if its request does not
	// say. 0 means 1 h; more than 30 days are refused.
	TokenLifetime time.Duration
	// Throttle slows down guessing.
	Throttle ThrottleConfig
	// Audit bounds the audit trail.
	Audit AuditConfig

	// CacheSessions and CacheUsers bound what is kept in memory, in sessions
	// and users. 0 means 100,000 of each; negative for either turns the cache off, which changes
	// no answer.
	CacheSessions int
	CacheUsers    int

	// Events are called after something happened.
	Events Events
	// Logger is told what no caller can be told. Nil means slog.Default.
	Logger *slog.Logger
	// Clock replaces the system's clock, for tests. Time never goes back,
	// whatever it says.
	Clock func() time.Time
}

// orDefault is the rule for zero fields.
func orDefault[T int | int64 | time.Duration](v *T, def T) {
	if *v == 0 {
		*v = def
	}
}

// withDefaults returns a copy with every field set, or says what is wrong.
func (cfg *Config) withDefaults() (*Config, error) {
	c := &Config{}
	if cfg != nil {
		*c = *cfg
	}
	orDefault(&c.LockTimeout, time.Second)
	c.LockTimeout = max(c.LockTimeout, time.Millisecond)
	orDefault(&c.SessionLifetime, 14*24*time.Hour)
	orDefault(&c.SessionIdle, 24*time.Hour)
	orDefault(&c.RememberLifetime, 30*24*time.Hour)
	orDefault(&c.SessionLimit, 100)
	orDefault(&c.FreshFor, 15*time.Minute)
	orDefault(&c.SweepEvery, time.Hour)
	orDefault(&c.TokenLifetime, time.Hour)
	orDefault(&c.CacheSessions, 100_000)
	orDefault(&c.CacheUsers, 100_000)
	c.SessionIdle = max(c.SessionIdle, 0)
	c.SessionIdle = min(c.SessionIdle, maxIdle)
	if part := c.SessionIdle % time.Second; part > 0 {
		c.SessionIdle += time.Second - part // it is kept in seconds; 0 would be no limit
	}
	c.Throttle.setDefaults()
	c.Audit.setDefaults()
	if c.Hashers == nil {
		c.Hashers = DefaultHashers()
	}
	if c.Validators == nil {
		c.Validators = DefaultValidators()
	}
	if c.Backends == nil {
		c.Backends = []Backend{PasswordBackend{}}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.Hashers, c.Validators = slices.Clone(c.Hashers), slices.Clone(c.Validators)
	c.Peppers, c.Backends = slices.Clone(c.Peppers), slices.Clone(c.Backends)
	return c, c.check()
}

// maxBackends bounds the backends, whose number stands in one byte.
const maxBackends = 255

func (c *Config) check() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("latchbolt: Config."+format, args...))
	}
	if c.SessionLifetime < 0 || c.RememberLifetime < 0 || c.TokenLifetime < 0 {
		bad("SessionLifetime, RememberLifetime and TokenLifetime must not be negative: nothing lives for ever")
	}
	if c.TokenLifetime > maxTokenTTL {
		bad("TokenLifetime is %v; at most %v are allowed", c.TokenLifetime, maxTokenTTL)
	}
	if t := c.Throttle; t.First < 0 || t.Max < 0 || t.Forget < 0 {
		bad("Throttle: First, Max and Forget must not be negative; a negative Free does not count by account")
	}
	if len(c.Hashers) == 0 {
		bad("Hashers must not be empty: there would be no way to make a hash")
	}
	if n := len(c.Backends); n == 0 || n > maxBackends {
		bad("Backends has %d entries; it needs 1 to %d", n, maxBackends)
	}
	seen := make(map[string]bool)
	for i, b := range c.Backends {
		if b == nil {
			bad("Backends: number %d is nil", i)
			continue
		}
		name := b.Name()
		if name == "" || len(name) > 64 {
			bad("Backends: the name %q needs 1 to 64 bytes", name)
		}
		if seen[name] {
			bad("Backends: two are called %q", name)
		}
		seen[name] = true
	}
	if err := checkValidators(c.Validators); err != nil {
		bad("Validators: %v", err)
	}
	return errors.Join(errs...)
}

func (c *Config) hashConfig() hashConfig {
	return hashConfig{Hashers: c.Hashers, Peppers: c.Peppers, Slots: c.HashSlots, Queue: c.HashQueue, Legacy: c.LegacyHashes}
}
