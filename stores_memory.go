package latchbolt

import (
	"context"
	"iter"
	"sync"
	"time"
)

// MemorySessions returns a store that keeps sessions in memory only: everybody is
// logged out when the process ends, and nothing about sessions is ever on the
// disk. It holds what is alive and what was not swept yet; nothing else bounds
// it. See [SessionStore] for what it gives up.
func MemorySessions() SessionStore {
	m := new(memorySessions)
	for i := range m {
		m[i].data = make(map[SessionID][]byte)
	}
	return m
}

// memorySessions are spread over shards by the random end of the identifier.
type memorySessions [64]memoryShard

type memoryShard struct {
	mu   sync.RWMutex // guards data
	data map[SessionID][]byte
}

func (m *memorySessions) shard(id SessionID) *memoryShard {
	return &m[int(id[len(id)-1])%len(m)]
}

func (m *memorySessions) Load(_ context.Context, id SessionID) ([]byte, error) {
	s := m.shard(id)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.data[id], nil
}

func (m *memorySessions) Save(_ context.Context, id SessionID, data []byte, _ time.Time) error {
	s := m.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data[id] = data
	return nil
}

func (m *memorySessions) Delete(_ context.Context, id SessionID) error {
	s := m.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.data, id)
	return nil
}

func (m *memorySessions) Scan(context.Context) iter.Seq2[SessionID, error] {
	return func(yield func(SessionID, error) bool) {
		for i := range m {
			for _, id := range m[i].ids() {
				if !yield(id, nil) {
					return
				}
			}
		}
	}
}

// ids copies the identifiers, so that no lock is held while others look at them.
func (s *memoryShard) ids() []SessionID {
	s.mu.RLock()
	defer s.mu.RUnlock()
	ids := make([]SessionID, 0, len(s.data))
	for id := range s.data {
		ids = append(ids, id)
	}
	return ids
}
