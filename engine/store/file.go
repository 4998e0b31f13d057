package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// file is what the log asks of a file that it writes. Write appends.
type file interface {
	io.WriteCloser
	Sync() error
	Truncate(size int64) error
}

// osFile syncs by fdatasync: the times of a file need not be durable.
type osFile struct{ *os.File }

func (f osFile) Sync() error {
	for {
		err := syscall.Fdatasync(int(f.Fd()))
		if err != syscall.EINTR {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}

// disk is how a log changes its folder. Tests put faults behind it.
type disk interface {
	// create opens a file for appending, and makes it if it is absent.
	create(path string) (file, error)
	rename(from, to string) error
	remove(path string) error
	// syncDir makes the names in a folder durable.
	syncDir(dir string) error
}

// osDisk is the disk of this machine.
type osDisk struct{}

func (osDisk) create(path string) (file, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osDisk) rename(from, to string) error { return os.Rename(from, to) }
func (osDisk) remove(path string) error     { return os.Remove(path) }

func (osDisk) syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// readDisk reads a file as the disk has it. After a sync that failed the kernel
// may go on showing what it could not write, as if it were written; such pages
// are dropped first (a hint, which a file system may not follow). Pages that
// still wait to be written stay.
func readDisk(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	var data bytes.Buffer
	data.Grow(int(info.Size()) + bytes.MinRead)
	_, err = data.ReadFrom(f)
	return data.Bytes(), err
}

// ErrLocked is wrapped by the error of Open when another process holds the
// folder.
var ErrLocked = errors.New("the state folder is in use")

const lockName = "lock"

// acquire takes the folder's lock. The kernel frees it when the process ends,
// however it ends; the process id in it is for people.
func acquire(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("state folder: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock of the state folder %q: %w", dir, err)
		}
		holder := "another process"
		if pid, err := io.ReadAll(io.LimitReader(f, 20)); err == nil && len(pid) > 0 {
			holder = "process " + strings.TrimSpace(string(pid))
		}
		return nil, fmt.Errorf("%w: %q is held by %s; stop it (plimsoll down) or name another folder with --state", ErrLocked, dir, holder)
	}
	if err := f.Truncate(0); err == nil {
		_, err = fmt.Fprintf(f, "%d\n", os.Getpid())
		if err != nil && !errors.Is(err, syscall.ENOSPC) {
			f.Close()
			return nil, fmt.Errorf("lock of the state folder %q: %w", dir, err)
		}
	}
	return f, nil
}
