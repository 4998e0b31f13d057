package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// recorder is a disk that keeps what was asked of it, in order, so that the
// folder can be made as a crash may have left it at any moment.
type recorder struct {
	osDisk
	mu   sync.Mutex
	done []deed
}

// deed is one change of the folder, or a mark that a writer set.
type deed struct {
	kind string // create, write, sync, cut, rename, remove, names; sent, kept
	path string
	to   string
	data []byte
	size int64
	who  int // sent, kept: the writer
	n    int // and how many of its appends
}

func (r *recorder) note(d deed) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done = append(r.done, d)
}

func (r *recorder) create(path string) (file, error) {
	f, err := r.osDisk.create(path)
	r.note(deed{kind: "create", path: path})
	return recorded{f, path, r}, err
}

func (r *recorder) rename(from, to string) error {
	r.note(deed{kind: "rename", path: from, to: to})
	return r.osDisk.rename(from, to)
}

func (r *recorder) remove(path string) error {
	r.note(deed{kind: "remove", path: path})
	return r.osDisk.remove(path)
}

func (r *recorder) syncDir(string) error {
	r.note(deed{kind: "names"})
	return nil
}

type recorded struct {
	file
	path string
	r    *recorder
}

func (f recorded) Write(p []byte) (int, error) {
	f.r.note(deed{kind: "write", path: f.path, data: slices.Clone(p)})
	return f.file.Write(p)
}

func (f recorded) Sync() error {
	f.r.note(deed{kind: "sync", path: f.path})
	return nil
}

func (f recorded) Truncate(size int64) error {
	f.r.note(deed{kind: "cut", path: f.path, size: size})
	return f.file.Truncate(size)
}

// inode is a file: what is surely on disk, and what the programs see.
type inode struct{ durable, seen []byte }

// model is a folder between what was done and what is on disk.
type model struct {
	names   map[string]*inode   // as the programs see them
	history []map[string]*inode // name lists that the disk may have, the oldest first
}

func (m *model) changed() { m.history = append(m.history, cloneNames(m.names)) }

func cloneNames(names map[string]*inode) map[string]*inode {
	c := map[string]*inode{}
	for name, node := range names {
		c[name] = node
	}
	return c
}

// replay carries out what was done, up to a crash.
func replay(done []deed) *model {
	m := &model{names: map[string]*inode{}}
	m.changed()
	for _, d := range done {
		switch d.kind {
		case "create":
			if m.names[d.path] == nil {
				m.names[d.path] = &inode{}
				m.changed()
			}
		case "write":
			m.names[d.path].seen = append(m.names[d.path].seen, d.data...)
		case "cut":
			node := m.names[d.path]
			node.seen = append(node.seen[:min(d.size, int64(len(node.seen)))], make([]byte, max(0, d.size-int64(len(node.seen))))...)
		case "sync":
			if node := m.names[d.path]; node != nil {
				node.durable = slices.Clone(node.seen)
			}
		case "rename":
			m.names[d.to] = m.names[d.path]
			delete(m.names, d.path)
			m.changed()
		case "remove":
			delete(m.names, d.path)
			m.changed()
		case "names":
			m.history = m.history[len(m.history)-1:]
		}
	}
	return m
}

// The ways in which a crash may leave what was written and not synced.
var losses = []string{"all kept", "all lost", "a prefix", "sectors lost", "pages lost", "a torn page"}

// settle gives what the disk has of a file.
func settle(r *rand.Rand, node *inode, loss string) []byte {
	old, now := node.durable, node.seen
	if len(now) <= len(old) { // a cut that may have got lost
		if r.IntN(2) == 0 {
			return old
		}
		return now
	}
	unit := 512
	if loss == "pages lost" {
		unit = 4096
	}
	image := slices.Clone(now)
	lose := func(from, to int) {
		for i := max(from, len(old)); i < min(to, len(image)); i++ {
			image[i] = 0
		}
	}
	switch loss {
	case "all lost":
		return old
	case "a prefix":
		return image[:len(old)+r.IntN(len(now)-len(old)+1)]
	case "sectors lost", "pages lost":
		for at := len(old) / unit * unit; at < len(image); at += unit {
			if r.IntN(2) == 0 {
				lose(at, at+unit)
			}
		}
		if r.IntN(3) == 0 { // the file has not grown to its end either
			image = image[:max(len(old), len(image)/unit*unit)]
		}
	case "a torn page":
		page := (len(old) + r.IntN(len(now)-len(old))) / 4096 * 4096
		part := 512 * (1 + r.IntN(7))
		if r.IntN(2) == 0 {
			lose(page, page+part)
		} else {
			lose(page+part, page+4096)
		}
	}
	return image
}

// put makes the folder as the disk has it.
func (m *model) put(t *testing.T, r *rand.Rand, dir, loss string) {
	t.Helper()
	for path, node := range m.history[r.IntN(len(m.history))] {
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(path)), settle(r, node, loss), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// writersAtWork has some writers append, each to its own keys, and gives what
// the disk was asked. A writer's n-th append sets its key to n, and that of n
// modulo 3 to a long value that begins with n.
func writersAtWork(t *testing.T, r *rand.Rand, writers int) []deed {
	t.Helper()
	disk := &recorder{}
	l := open(t, t.TempDir(), Options{CompactBytes: 6 << 10, disk: disk})
	var wg sync.WaitGroup
	for w := range writers {
		sizes := make([]int, 25)
		for i := range sizes {
			sizes[i] = r.IntN(900)
			if r.IntN(8) == 0 {
				sizes[i] = r.IntN(9000)
			}
		}
		wg.Go(func() {
			for i, size := range sizes {
				n := i + 1
				disk.note(deed{kind: "sent", who: w, n: n})
				err := l.Append([]Record{
					put(fmt.Sprint("w", w), fmt.Sprint(n)),
					put(fmt.Sprintf("w%d/%d", w, n%3), fmt.Sprint(n, strings.Repeat("\x00v", size/2))),
				})
				if err != nil {
					t.Error(err)
				}
				disk.note(deed{kind: "kept", who: w, n: n})
			}
		})
	}
	wg.Wait()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return disk.done
}

// checkImage opens a folder and compares it with what was sent and answered.
func checkImage(t *testing.T, dir string, done []deed, writers int) error {
	l, err := Open(dir, quickly(Options{}))
	if err != nil {
		return err
	}
	got := contents(t, l)
	if err := l.Close(); err != nil {
		return err
	}
	sent, kept := make([]int, writers), make([]int, writers)
	for _, d := range done {
		switch d.kind {
		case "sent":
			sent[d.who] = d.n
		case "kept":
			kept[d.who] = d.n
		}
	}
	for w := range writers {
		n := 0
		if text, ok := got[fmt.Sprint("w", w)]; ok {
			if _, err := fmt.Sscan(text, &n); err != nil {
				return err
			}
		}
		if n < kept[w] || n > sent[w] {
			return fmt.Errorf("writer %d: the log has %d appends; %d were answered, %d were sent", w, n, kept[w], sent[w])
		}
		for last := max(1, n-2); last <= n; last++ {
			value := got[fmt.Sprintf("w%d/%d", w, last%3)]
			if !strings.HasPrefix(value, fmt.Sprint(last)) {
				return fmt.Errorf("writer %d: append %d of %d is there in part: %.20q", w, last, n, value)
			}
		}
	}
	return nil
}

// crashAt gives a moment for a crash: often one at which something has been
// written and is not synced.
func crashAt(r *rand.Rand, done []deed) int {
	for range 20 {
		at := 1 + r.IntN(len(done))
		if done[at-1].kind == "write" {
			return at
		}
	}
	return r.IntN(len(done) + 1)
}

func TestEveryCrashImageHasAllThatWasAnsweredAndWholeAppendsOnly(t *testing.T) {
	const images, works, writers = 500, 10, 4
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for range works {
		done := writersAtWork(t, r, writers)
		for range images / works {
			at := crashAt(r, done)
			loss := losses[r.IntN(len(losses))]
			dir := t.TempDir()
			replay(done[:at]).put(t, r, dir, loss)
			if err := checkImage(t, dir, done[:at], writers); err != nil {
				t.Fatalf("seed %d, crash at %d of %d, %s: %v", seed, at, len(done), loss, err)
			}
			os.RemoveAll(dir)
		}
	}
}

func TestABitThatFlipsInWhatWasSyncedIsFoundInEveryImage(t *testing.T) {
	const images, writers = 200, 4
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	done := writersAtWork(t, r, writers)
	for range images {
		at := r.IntN(len(done) + 1)
		dir := t.TempDir()
		replay(done[:at]).put(t, r, dir, "all lost")
		// Opening it takes away what is no part of the log any more.
		if err := checkImage(t, dir, done[:at], writers); err != nil {
			t.Fatalf("seed %d, crash at %d: %v", seed, at, err)
		}
		fs, err := list(dir)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, n := range fs.segments {
			names = append(names, segmentName(n))
		}
		for _, n := range fs.snapshots {
			names = append(names, snapshotName(n))
		}
		path := filepath.Join(dir, names[r.IntN(len(names))])
		data, err := os.ReadFile(path)
		if err != nil || len(data) == 0 {
			t.Fatalf("%s: %d bytes, %v", path, len(data), err)
		}
		bit := r.IntN(8 * len(data))
		data[bit/8] ^= 1 << (bit % 8)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		var corrupt *CorruptError
		if _, err := Open(dir, Options{}); !errors.As(err, &corrupt) || corrupt.File != path || corrupt.Offset > int64(bit/8) {
			t.Fatalf("seed %d, crash at %d, bit %d of %s: got %v", seed, at, bit, path, err)
		}
		os.RemoveAll(dir)
	}
}
