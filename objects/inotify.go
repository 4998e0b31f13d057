package objects

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// handle goes through what the kernel told: a row of heads (inotify(7)), each
// with a name behind it.
func (w *Watcher) handle(events []byte) error {
	for len(events) >= unix.SizeofInotifyEvent {
		number := int(int32(binary.NativeEndian.Uint32(events)))
		mask := binary.NativeEndian.Uint32(events[4:])
		end := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(events[12:]))
		if end > len(events) {
			return fmt.Errorf("watching %q: the kernel's event ends after %d of %d bytes", w.o.Root, len(events), end)
		}
		name := string(bytes.TrimRight(events[unix.SizeofInotifyEvent:end], "\x00"))
		events = events[end:]
		if err := w.event(number, mask, name); err != nil {
			return err
		}
	}
	return nil
}

func (w *Watcher) event(number int, mask uint32, name string) error {
	folder, known := w.folders[number]
	switch {
	case mask&unix.IN_Q_OVERFLOW != 0:
		return w.lookAll() // some were not told
	case mask&unix.IN_IGNORED != 0:
		delete(w.folders, number)
		if folder == w.o.Root {
			return fmt.Errorf("watching %q: the folder is gone", folder)
		}
		return nil
	case !known || name == "" || w.ignored(name):
		return nil
	}
	path := filepath.Join(folder, name)
	switch {
	case mask&unix.IN_ISDIR != 0 && mask&(unix.IN_CREATE|unix.IN_MOVED_TO) != 0:
		return w.look(path)
	case mask&unix.IN_ISDIR != 0 && mask&unix.IN_MOVED_FROM != 0:
		w.leave(path)
	case mask&(unix.IN_DELETE|unix.IN_MOVED_FROM) != 0:
		delete(w.told, path)
		delete(w.later, path)
	case mask&(unix.IN_CLOSE_WRITE|unix.IN_MOVED_TO) != 0:
		w.consider(path, true)
	case mask&unix.IN_CREATE != 0:
		// A file that is being written is told when it is closed. One that was
		// linked here is whole, and nobody will close it.
		if info, err := os.Lstat(path); err == nil {
			if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Nlink > 1 {
				w.consider(path, false)
			}
		}
	}
	return nil
}

// lookAll goes through the whole folder again, and forgets what is not there any
// more.
func (w *Watcher) lookAll() error {
	for path := range w.told {
		if _, err := os.Lstat(path); err != nil {
			delete(w.told, path)
		}
	}
	return w.look(w.o.Root)
}

// leave ends the watch of a folder that was moved away, with all below it.
func (w *Watcher) leave(path string) {
	below := path + string(filepath.Separator)
	for number, folder := range w.folders {
		if folder != path && !strings.HasPrefix(folder, below) {
			continue
		}
		if connection, err := w.events.SyscallConn(); err == nil {
			_ = connection.Control(func(fd uintptr) {
				_, _ = unix.InotifyRmWatch(int(fd), uint32(number)) // it may be gone already
			})
		}
		delete(w.folders, number)
	}
	for file := range w.told {
		if strings.HasPrefix(file, below) {
			delete(w.told, file)
		}
	}
}
