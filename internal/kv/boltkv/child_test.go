package boltkv_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/latchbolt-go/latchbolt/internal/kv"
	"github.com/latchbolt-go/latchbolt/internal/kv/boltkv"
)

// child is what another process does with the store at path.
func child(path string) {
	o := options()
	o.LockTimeout = time.Nanosecond
	s, err := boltkv.Open(path, o)
	if errors.Is(err, kv.ErrLocked) {
		fmt.Println("locked:", err)
		return
	}
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	if os.Getenv("BOLTKV_DO") == "lock" {
		fmt.Println("opened")
		_ = s.Close()
		return
	}
	for i := 0; ; i++ { // until killed: both keys in one transaction, then the acknowledgement
		v := fmt.Appendf(nil, "%d", i)
		_, err := s.Update(context.Background(), func(tx kv.Tx) error {
			return errors.Join(tx.Put(bucketA, []byte("x"), v), tx.Put(bucketB, []byte("x"), v))
		})
		if err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		fmt.Println(i)
	}
}
