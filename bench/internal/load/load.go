package load

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A Visitor is somebody who is signed in.
type Visitor struct {
	person int
	cookie *http.Cookie
}

// As has the visitor's cookie but is taken for another person, which each load finds to be an error.
func (v Visitor) As(person int) Visitor { return Visitor{person, v.cookie} }

// Visitors are people who are signed in, for the loads that need them.
type Visitors []Visitor

// SignIn signs n people in, one after the other.
func (s *Site) SignIn(ctx context.Context, n int) (Visitors, error) {
	all := make(Visitors, n)
	for i := range all {
		cookie, err := s.signIn(ctx, i)
		if err != nil {
			return nil, err
		}
		all[i] = Visitor{i, cookie}
	}
	return all, nil
}

// A Kind is what those who make the load do.
type Kind string

// The kinds of load.
const (
	SignIn    Kind = "sign_in"     // everybody signs in at once, as in the morning
	Browse    Kind = "browse"      // people who are signed in look at the board
	Check     Kind = "check"       // they go to a page that half of them may not see
	AllAtOnce Kind = "all_at_once" // of a hundred requests two sign in, twenty are checked, the others look
)

// Kinds are all of them.
var Kinds = []Kind{SignIn, Browse, Check, AllAtOnce}

// Limits bound a load.
type Limits struct {
	Clients  int           // how many ask at the same time
	Requests int           // how many requests at most
	For      time.Duration // how long at most; a request that was begun is finished
}

// A Result is how a load went.
type Result struct {
	Requests int           // that were answered as they should be
	Errors   int           // that were not
	First    error         // the first of the errors
	Elapsed  time.Duration // from the first request to the last answer
	times    []time.Duration
}

// Add puts two results together.
func (r *Result) Add(other Result) {
	r.Requests += other.Requests
	r.Errors += other.Errors
	r.Elapsed += other.Elapsed
	r.times = append(r.times, other.times...)
	if r.First == nil {
		r.First = other.First
	}
}

// PerSecond is the throughput.
func (r *Result) PerSecond() float64 { return float64(r.Requests) / r.Elapsed.Seconds() }

// Within is how long the share p of the requests took at most, such as 0.99.
func (r *Result) Within(p float64) time.Duration {
	if len(r.times) == 0 {
		return 0
	}
	slices.Sort(r.times)
	return r.times[min(len(r.times)-1, int(p*float64(len(r.times))))]
}

// Run makes a load.
func (s *Site) Run(ctx context.Context, kind Kind, visitors Visitors, l Limits) Result {
	var next atomic.Int64
	var wg sync.WaitGroup
	results := make([]Result, l.Clients)
	start := time.Now()
	for c := range results {
		wg.Go(func() {
			r := &results[c]
			for ctx.Err() == nil && time.Since(start) < l.For {
				i := int(next.Add(1)) - 1
				if i >= l.Requests {
					return
				}
				began := time.Now()
				err := s.one(ctx, kind, visitors, i)
				if err != nil {
					r.Errors++
					if r.First == nil {
						r.First = err
					}
					continue
				}
				r.Requests++
				r.times = append(r.times, time.Since(began))
			}
		})
	}
	wg.Wait()
	var all Result
	for _, r := range results {
		all.Add(r)
	}
	all.Elapsed = time.Since(start)
	return all
}

// one makes request i.
func (s *Site) one(ctx context.Context, kind Kind, visitors Visitors, i int) error {
	if kind == AllAtOnce {
		switch n := i % 100; {
		case n%50 == 49:
			kind = SignIn
		case n%5 == 0:
			kind = Check
		default:
			kind = Browse
		}
	}
	switch kind {
	case SignIn:
		_, err := s.signIn(ctx, i)
		return err
	case Browse:
		return s.browse(ctx, visitors[i%len(visitors)])
	case Check:
		return s.check(ctx, visitors[i/5%len(visitors)])
	}
	return fmt.Errorf("there is no load %q", kind)
}
