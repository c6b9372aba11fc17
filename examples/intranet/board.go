package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/latchbolt-go/latchbolt"
)

// A post is one notice.
type post struct {
	ID      int64            `json:"id"` // never given out again
	Author  latchbolt.UserID `json:"author"`
	Name    string           `json:"name"` // of the author, as it was then
	Title   string           `json:"title"`
	Text    string           `json:"text"`
	Created time.Time        `json:"created"`
	Edits   int              `json:"edits"` // how often it was changed
}

// object is what rights on this one post are granted for.
func (p post) object() latchbolt.Object { return latchbolt.Object(fmt.Sprintf("board.post:%d", p.ID)) }

// A board holds the posts, the newest first, and writes them to its file whenever they change. Its methods may be called
// concurrently. Who may call them is not its business.
type board struct {
	path string // "" keeps them in memory only

	mu  sync.RWMutex // guards now
	now boardState
}

// A boardState is never changed, only replaced.
type boardState struct {
	Last  int64  `json:"last"` // the greatest identifier given out
	Posts []post `json:"posts"`
}

var (
	errNoPost  = fmt.Errorf("post: %w", latchbolt.ErrNotFound)
	errChanged = errors.New("the post was changed meanwhile")
)

func openBoard(path string) (*board, error) {
	b := &board{path: path}
	if path == "" {
		return b, nil
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return b, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &b.now)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the notices from %s: %w", path, err)
	}
	return b, nil
}

func (b *board) all() []post {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.now.Posts
}

func (b *board) get(id int64) (post, error) {
	for _, p := range b.all() {
		if p.ID == id {
			return p, nil
		}
	}
	return post{}, errNoPost
}

// add stores a new post under an identifier of its own, which it returns.
func (b *board) add(p post) (post, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p.ID = b.now.Last + 1
	return p, b.replaceLocked(boardState{Last: p.ID, Posts: append([]post{p}, b.now.Posts...)})
}

// change replaces title and text of a post, unless somebody else did since it was read.
func (b *board) change(p post) error {
	return b.edit(p.ID, func(posts []post, i int) ([]post, error) {
		if posts[i].Edits != p.Edits {
			return nil, errChanged
		}
		posts[i].Title, posts[i].Text = p.Title, p.Text
		posts[i].Edits++
		return posts, nil
	})
}

func (b *board) remove(id int64) error {
	return b.edit(id, func(posts []post, i int) ([]post, error) { return slices.Delete(posts, i, i+1), nil })
}

// edit replaces the posts by what fn makes of a copy of them, in which the post that is meant has the index i.
func (b *board) edit(id int64, fn func(posts []post, i int) ([]post, error)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	posts := slices.Clone(b.now.Posts)
	i := slices.IndexFunc(posts, func(p post) bool { return p.ID == id })
	if i < 0 {
		return errNoPost
	}
	posts, err := fn(posts, i)
	if err != nil {
		return err
	}
	return b.replaceLocked(boardState{Last: b.now.Last, Posts: posts})
}

// replaceLocked writes a new state beside the file and puts it in its place, so that there is always a whole one.
func (b *board) replaceLocked(next boardState) error {
	if b.path != "" {
		data, err := json.MarshalIndent(next, "", "\t")
		if err != nil {
			return err
		}
		if err := writeFile(b.path, append(data, '\n')); err != nil {
			return fmt.Errorf("writing the notices: %w", err)
		}
	}
	b.now = next
	return nil
}

func writeFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".posts-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
