package objects_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"plimsoll/objects"
)

// folder is a folder under watch.
type folder struct {
	t    *testing.T
	path string
	w    *objects.Watcher
}

func watch(t *testing.T, existing bool, before func(f *folder)) *folder {
	t.Helper()
	f := &folder{t: t, path: t.TempDir()}
	if before != nil {
		before(f)
	}
	w, err := objects.NewWatcher(objects.Options{Root: f.path, Existing: existing, Ignore: []string{".*"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	f.w = w
	return f
}

func (f *folder) write(name, content string) {
	f.t.Helper()
	if err := os.WriteFile(filepath.Join(f.path, name), []byte(content), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func (f *folder) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// next gives the names of so many files, in order. It waits for them.
func (f *folder) next(n int) []string {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), time.Minute)
	defer cancel()
	var names []string
	for len(names) < n {
		paths, err := f.w.Next(ctx, n-len(names))
		if err != nil {
			f.t.Fatalf("%v after %v", err, names)
		}
		for _, path := range paths {
			name, err := filepath.Rel(f.path, path)
			f.must(err)
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// expect waits for files, and makes sure that no other comes before one that is
// written after them.
func (f *folder) expect(names ...string) {
	f.t.Helper()
	f.marks()
	got := f.next(len(names) + 1)
	want := append(slices.Clone(names), "marker")
	slices.Sort(want)
	if !slices.Equal(got, want) {
		f.t.Errorf("got %v, want %v", got, want)
	}
}

// marks writes a file after which nothing of before is to come.
func (f *folder) marks() {
	f.t.Helper()
	_ = os.Remove(filepath.Join(f.path, "marker"))
	f.write("marker", time.Now().String())
}

func TestAFileIsToldWhenItIsWhole(t *testing.T) {
	f := watch(t, false, func(f *folder) { f.write("old", "x") })
	slow, err := os.Create(filepath.Join(f.path, "slow"))
	f.must(err)
	_, err = slow.WriteString("half")
	f.must(err)
	f.expect()
	f.must(slow.Close())
	f.expect("slow")
	f.write(".hidden", "x")
	f.must(os.Rename(filepath.Join(f.path, ".hidden"), filepath.Join(f.path, "renamed")))
	f.must(os.Link(filepath.Join(f.path, "old"), filepath.Join(f.path, "linked")))
	f.must(os.Symlink("old", filepath.Join(f.path, "symbolic")))
	f.expect("linked", "renamed")
}

func TestNoContentOfAFileIsToldTwice(t *testing.T) {
	f := watch(t, true, func(f *folder) { f.write("a", "1") })
	f.expect("a")
	again, err := os.OpenFile(filepath.Join(f.path, "a"), os.O_WRONLY, 0)
	f.must(err)
	f.must(again.Close()) // nothing was written
	f.expect()
	f.write("a", "22") // it is another now, as an object that is put again
	f.expect("a")
	f.must(os.Remove(filepath.Join(f.path, "a")))
	f.write("a", "22") // and this is a new file
	f.expect("a")
}

func TestFoldersThatAppearAreWatchedWithWhatIsInThem(t *testing.T) {
	f := watch(t, false, nil)
	other := t.TempDir()
	f.must(os.MkdirAll(filepath.Join(other, "deep", "er"), 0o755))
	f.must(os.WriteFile(filepath.Join(other, "deep", "er", "file"), []byte("x"), 0o600))
	old := time.Now().Add(-time.Hour)
	f.must(os.Chtimes(filepath.Join(other, "deep", "er", "file"), old, old))
	f.must(os.Rename(filepath.Join(other, "deep"), filepath.Join(f.path, "deep")))
	f.expect("deep/er/file")
	f.write("deep/er/later", "x")
	f.must(os.MkdirAll(filepath.Join(f.path, ".git"), 0o755))
	f.write(".git/config", "x")
	f.expect("deep/er/later")
	f.must(os.Rename(filepath.Join(f.path, "deep"), filepath.Join(other, "gone")))
	f.must(os.WriteFile(filepath.Join(other, "gone", "er", "outside"), []byte("x"), 0o600))
	f.expect()
}

func TestABurstOverflowsTheKernelsRowAndLosesNothing(t *testing.T) {
	limit := 16384
	if text, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events"); err == nil {
		_, _ = fmt.Sscan(string(text), &limit)
	}
	if limit > 20000 {
		t.Skipf("the kernel's row holds %d events: too many for a test", limit)
	}
	f := watch(t, false, nil)
	n := limit/2 + 1000 // two events each, and nobody reads
	for i := range n {
		f.write(fmt.Sprint("f", i), "x")
	}
	names := f.next(n)
	if len(slices.Compact(names)) != n {
		t.Error("a file was told twice")
	}
	f.expect()
}

func TestAWatchEndsWithItsContextAndWithItsFolder(t *testing.T) {
	f := watch(t, false, nil)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	if _, err := f.w.Next(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	f.write("after", "x")
	f.expect("after") // and it can go on
	f.must(os.RemoveAll(f.path))
	for {
		if _, err := f.w.Next(t.Context(), 1); err != nil {
			if !strings.Contains(err.Error(), "the folder is gone") {
				t.Errorf("got %v", err)
			}
			return
		}
	}
}

func TestAFolderThatCannotBeWatchedIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, o := range []objects.Options{{Root: file}, {Root: file + "x"}, {Root: t.TempDir(), Ignore: []string{"["}}} {
		if w, err := objects.NewWatcher(o); err == nil {
			_ = w.Close()
			t.Errorf("%+v was taken", o)
		}
	}
}
