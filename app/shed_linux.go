package app

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// shedProgram takes the pages of the program's own file out of this process's
// memory. The start touches most of them, for it initialises every package, and
// the kernel maps sixteen pages for each that is asked for. They stay in the
// kernel's cache, and what is needed again is mapped again from there.
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
	for _, s := range spans {
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, s.from, s.to-s.from, unix.MADV_DONTNEED); errno != 0 {
			err = errors.Join(err, os.NewSyscallError("madvise", errno))
		}
	}
	return errors.Join(err, smaps.Close())
}
