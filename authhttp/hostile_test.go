package authhttp_test

import (
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/authtest"
	"github.com/latchbolt-go/latchbolt/internal/hashtest"
	"github.com/latchbolt-go/latchbolt/internal/tally"
)

// TestFloodOfForms sends 500 logins at once to two hashing slots. Those who find the queue full are answered 503 with the time after
// which to come again, nobody is answered wrongly, and who is signed in is served meanwhile.
func TestFloodOfForms(t *testing.T) {
	clients := 100
	if os.Getenv("LATCHBOLT_CI") != "" || os.Getenv("LATCHBOLT_HOSTILE") != "" {
		clients = 500
	}
	s := newSite(t, nil, &latchbolt.Config{HashSlots: 2, HashQueue: 8, Hashers: []latchbolt.Hasher{&hashtest.Yielding{Hasher: latchbolt.PBKDF2SHA256{Iterations: 2000}}},
		Throttle: latchbolt.ThrottleConfig{Free: -1, SourceFree: -1}})
	authtest.User(t, s.eng, "ada")
	in := s.browser()
	in.login("ada")
	var wg sync.WaitGroup
	var mu sync.Mutex
	statuses := make(map[int]int)
	start := make(chan struct{})
	for i := range clients {
		wg.Go(func() {
			b := s.browser()
			form := []string{"username", "ada", "password", authtest.Password}
			want := http.StatusSeeOther
			if i%2 == 0 {
				form[3], want = "wrong", http.StatusUnauthorized
			}
			<-start
			res := b.post("/accounts/login/", form...)
			mu.Lock()
			defer mu.Unlock()
			statuses[res.StatusCode]++
			switch {
			case res.StatusCode == http.StatusServiceUnavailable:
				if res.Header.Get("Retry-After") == "" || b.cookies[cookie] != "" {
					t.Errorf("too busy: the header is %v", res.Header)
				}
			case res.StatusCode != want:
				t.Errorf("client %d: got status %d, want %d or 503", i, res.StatusCode, want)
			}
		})
	}
	close(start)
	served := 0
	for end := time.Now().Add(50 * time.Millisecond); served < 20 || time.Now().Before(end); served++ {
		want(t, "who is signed in", in.get("/who"), http.StatusOK, "user=ada")
	}
	wg.Wait()
	t.Logf("%d clients: %v; %d pages served meanwhile", clients, statuses, served)
	tally.Log(t, "clients", clients, "told-busy", statuses[http.StatusServiceUnavailable], "pages-meanwhile", served)
	if statuses[http.StatusServiceUnavailable] == 0 || statuses[http.StatusUnauthorized] == 0 {
		t.Errorf("not all answers were seen: %v", statuses)
	}
}
