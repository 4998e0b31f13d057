package app

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// shedProgram takes the pages of the program's own file out of this process's
// memory. The start touches most of them, for it initialises every package. They
// stay in the kernel's cache, and what is needed again is mapped again from there.
func shedProgram() error {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	smaps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return err
	}
	spans, err := asFiled(smaps, program)
	err = errors.Join(err, pageByPage(spans))
	for _, s := range spans {
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, s.from, s.to-s.from, unix.MADV_DONTNEED); errno != 0 {
			err = errors.Join(err, os.NewSyscallError("madvise", errno))
		}
	}
	return errors.Join(err, smaps.Close())
}

// The requests of userfaultfd(2) that are needed here; unix does not have them.
const (
	userModeOnly  = 1 // so that no privilege is asked for
	faultAPI      = 0xc018aa3f
	faultVersion  = 0xaa
	protectAsync  = 1 << 15 // since Linux 6.7
	faultRegister = 0xc020aa00
	registerWrite = 1 << 1
)

// filtered tells whether this process's system calls are filtered, or may be.
func filtered() bool {
	status, err := os.ReadFile("/proc/self/status")
	return err != nil || !bytes.Contains(status, []byte("\nSeccomp:\t0\n"))
}

// pageByPage has the kernel map one page where one is asked for. It maps sixteen
// else, so that what works all the time, which is thinly spread over the file, held
// three times the pages that it uses. It does not where writes are watched; watching
// them costs nothing where nothing can be written. Where that may not be asked for,
// as in most containers, all stays as it was.
func pageByPage(spans []span) error {
	if filtered() {
		return fmt.Errorf("userfaultfd: %w: a filter of system calls may end who asks", unix.EPERM)
	}
	fd, _, errno := unix.Syscall(unix.SYS_USERFAULTFD, unix.O_CLOEXEC|userModeOnly, 0, 0)
	if errno != 0 {
		return os.NewSyscallError("userfaultfd", errno)
	}
	// It stays open for good: with it the watch ends.
	api := struct{ version, features, requests uint64 }{version: faultVersion, features: protectAsync}
	if _, _, errno = unix.Syscall(unix.SYS_IOCTL, fd, faultAPI, uintptr(unsafe.Pointer(&api))); errno != 0 {
		return errors.Join(os.NewSyscallError("userfaultfd", errno), unix.Close(int(fd)))
	}
	for _, s := range spans {
		watch := struct{ start, length, mode, requests uint64 }{uint64(s.from), uint64(s.to - s.from), registerWrite, 0}
		_, _, errno = unix.Syscall(unix.SYS_IOCTL, fd, faultRegister, uintptr(unsafe.Pointer(&watch)))
		if errno == unix.EBUSY { // done before, for another that runs in this process
			return unix.Close(int(fd))
		}
		if errno != 0 {
			return fmt.Errorf("userfaultfd of %x-%x: %w", s.from, s.to, errno)
		}
	}
	return nil
}
