package objects

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// lookAgain is after how long a file is looked at again that was being written
// when it was found other than by the end of its writing.
const lookAgain = 2 * time.Second

// watched is what is asked of the kernel: a file is whole when the one who wrote
// it closes it, or when it comes under its name whole.
const watched = unix.IN_CLOSE_WRITE | unix.IN_MOVED_TO | unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_ONLYDIR

// Options say what is watched.
type Options struct {
	// Root is the folder; what is below its folders is watched too.
	Root string
	// Existing has the files told that are there at the start.
	Existing bool
	// Ignore has patterns (filepath.Match) of names of files and folders that
	// are left out.
	Ignore []string
}

// version tells one content of a file from the next.
type version struct {
	device, inode uint64
	size          int64
	modified      time.Time
}

// Watcher finds the files of a folder as they become whole. It is not safe for
// concurrent use.
type Watcher struct {
	o       Options
	events  *os.File
	folders map[int]string     // by the kernel's number
	told    map[string]version // by path, of the files that are there
	later   map[string]bool    // were being written when they were found
	found   []string           // to be told
	queued  map[string]bool    // those in found
}

// NewWatcher begins to watch; the files that appear from then on are given by
// Next.
func NewWatcher(o Options) (*Watcher, error) {
	for _, pattern := range o.Ignore {
		if _, err := filepath.Match(pattern, ""); err != nil {
			return nil, fmt.Errorf("the pattern %q: %w", pattern, err)
		}
	}
	if info, err := os.Stat(o.Root); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("watching %q: it is not a folder: %w", o.Root, cmp.Or(err, error(unix.ENOTDIR)))
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("watching %q: %w", o.Root, os.NewSyscallError("inotify_init1", err))
	}
	w := &Watcher{
		o: o, events: os.NewFile(uintptr(fd), "inotify"), folders: map[int]string{}, told: map[string]version{}, later: map[string]bool{},
		queued: map[string]bool{},
	}
	if !o.Existing {
		// What is there now is known; what comes while the folders are put under
		// watch is not, and is found below.
		err = w.walk(o.Root, func(string) error { return nil }, func(path string, info fs.FileInfo) { w.told[path] = versionOf(info) })
	}
	if err == nil {
		err = w.look(o.Root)
	}
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

// Close ends the watch.
func (w *Watcher) Close() error { return w.events.Close() }

// Next waits for files and gives the paths of up to most of them, each whole. A
// content of a file is given once. It ends with the context's error.
func (w *Watcher) Next(ctx context.Context, most int) ([]string, error) {
	stop := context.AfterFunc(ctx, func() { _ = w.events.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if len(w.found) > 0 {
			n := min(most, len(w.found))
			paths := w.found[:n:n]
			w.found = w.found[n:]
			for _, path := range paths {
				delete(w.queued, path)
			}
			return paths, nil
		}
		if err := w.read(ctx); err != nil {
			return nil, err
		}
	}
}

// read waits for events, or until it is time to look at some files again.
func (w *Watcher) read(ctx context.Context) error {
	deadline := time.Time{}
	if len(w.later) > 0 {
		deadline = time.Now().Add(lookAgain)
	}
	if err := w.events.SetReadDeadline(deadline); err != nil {
		return err
	}
	if ctx.Err() != nil { // it may have ended before the deadline was set
		return ctx.Err()
	}
	buffer := make([]byte, 64<<10)
	n, err := w.events.Read(buffer)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		waiting := w.later
		w.later = map[string]bool{}
		for path := range waiting {
			w.consider(path, false)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("watching %q: %w", w.o.Root, err)
	}
	return w.handle(buffer[:n])
}

// look puts a folder and those below it under watch, and considers the files
// that are there already.
func (w *Watcher) look(root string) error {
	return w.walk(root, w.watch, func(path string, _ fs.FileInfo) { w.consider(path, false) })
}

// walk enters each folder before it reads it, and visits the regular files that
// are not left out.
func (w *Watcher) walk(root string, enter func(path string) error, visit func(path string, info fs.FileInfo)) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			if path != w.o.Root && errors.Is(err, fs.ErrNotExist) {
				return nil // it went while it was looked at
			}
			return err
		}
		if path != w.o.Root && w.ignored(d.Name()) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() {
			return enter(path)
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			visit(path, info)
		}
		return nil
	})
}

func (w *Watcher) ignored(name string) bool {
	for _, pattern := range w.o.Ignore {
		if match, _ := filepath.Match(pattern, name); match { // the pattern was tried
			return true
		}
	}
	return false
}

// watch puts one folder under watch; putting it twice does nothing.
func (w *Watcher) watch(path string) error {
	connection, err := w.events.SyscallConn()
	if err != nil {
		return err
	}
	var number int
	var problem error
	err = connection.Control(func(fd uintptr) { number, problem = unix.InotifyAddWatch(int(fd), path, watched) })
	switch {
	case err != nil:
		return err
	case errors.Is(problem, unix.ENOENT) && path != w.o.Root, errors.Is(problem, unix.ENOTDIR) && path != w.o.Root:
		return fs.SkipDir // it went
	case errors.Is(problem, unix.ENOSPC):
		return fmt.Errorf("watching %q: the kernel's limit of watches is reached; raise fs.inotify.max_user_watches", path)
	case problem != nil:
		return fmt.Errorf("watching %q: %w", path, problem)
	}
	w.folders[number] = path
	return nil
}

// consider tells a file if it is whole and this content of it was not told yet.
// closed says that its writing has just ended.
func (w *Watcher) consider(path string, closed bool) {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() {
		return // it went, or is none
	}
	v := versionOf(info)
	if w.told[path] == v {
		return
	}
	if beingWritten(path, info, closed) {
		w.later[path] = true
		return
	}
	w.told[path] = v
	delete(w.later, path)
	if !w.queued[path] {
		w.queued[path] = true
		w.found = append(w.found, path)
	}
}

// beingWritten tells whether somebody has a file open for writing: the kernel
// gives no read lease on such a file (fcntl(2), F_SETLEASE). Where it gives none
// anyway, a file is whole when its writing has just ended, or when nobody has
// changed it for a while.
func beingWritten(path string, info fs.FileInfo, closed bool) bool {
	quiet := closed || time.Since(info.ModTime()) >= lookAgain
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return !quiet
	}
	defer func() { _ = f.Close() }()
	_, err = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
	if err != nil {
		return errors.Is(err, unix.EAGAIN) || !quiet
	}
	_, _ = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK) // closing it ends the lease as well
	return false
}

func versionOf(info fs.FileInfo) version {
	v := version{size: info.Size(), modified: info.ModTime()}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		v.device, v.inode = stat.Dev, stat.Ino
	}
	return v
}
