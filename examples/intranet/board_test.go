package main

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/latchbolt-go/latchbolt"
)

func TestBoardKeepsItsPosts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "posts.json")
	b, err := openBoard(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, title := range []string{"one", "two", "three"} {
		if _, err := b.add(post{Title: title, Text: "…"}); err != nil {
			t.Fatal(err)
		}
	}
	two, err := b.get(2)
	if err != nil || two.Title != "two" {
		t.Fatalf("get(2) = %+v, %v", two, err)
	}
	first, second := two, two
	first.Title, second.Title = "first", "second"
	if err := b.change(first); err != nil {
		t.Fatal(err)
	}
	if err := b.change(second); !errors.Is(err, errChanged) {
		t.Errorf("a change of what was changed meanwhile: %v", err)
	}
	if err := b.remove(3); err != nil {
		t.Fatal(err)
	}
	if err := b.remove(3); !errors.Is(err, latchbolt.ErrNotFound) {
		t.Errorf("removing twice: %v", err)
	}

	again, err := openBoard(path)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(again.all(), b.all()) || len(again.all()) != 2 || again.all()[0].Title != "first" {
		t.Errorf("read back: %+v, want %+v", again.all(), b.all())
	}
	if p, err := again.add(post{Title: "four"}); err != nil || p.ID != 4 {
		t.Errorf("after the last one was removed, the next has identifier %d, %v; want 4", p.ID, err)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".posts-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestBoardThatCannotBeWrittenOrRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "gone")
	b := &board{path: filepath.Join(dir, "posts.json")}
	if _, err := b.add(post{Title: "lost"}); err == nil || len(b.all()) > 0 {
		t.Errorf("without a folder: %v, and the board has %+v", err, b.all())
	}
	path := filepath.Join(t.TempDir(), "posts.json")
	if err := os.WriteFile(path, []byte(`{"last": 3, "posts": [`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openBoard(path); err == nil {
		t.Error("half a file was opened")
	}
	if data, err := os.ReadFile(path); err != nil || len(data) != 22 {
		t.Errorf("the file that could not be read was changed: %q, %v", data, err)
	}
}
