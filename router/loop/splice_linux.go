package loop

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// pipeSize is what a pipe holds if nobody asks for more.
const pipeSize = 64 << 10

// Splice lets the kernel move n bytes from one connection to another. The error is
// io.EOF if from ends before.
func Splice(to, from *Conn, n int64) (moved int64, err error) {
	var pipe [2]int
	if unix.Pipe2(pipe[:], unix.O_CLOEXEC|unix.O_NONBLOCK) != nil {
		// There is no descriptor left: what is under way goes on all the same.
		return io.CopyN(to, from, n)
	}
	defer unix.Close(pipe[0])
	defer unix.Close(pipe[1])
	from.in.drained = false
	for moved < n {
		var step int
		var failed error
		err := raw{from}.Read(func(fd uintptr) bool {
			step, failed = splice(int(fd), pipe[1], min(n-moved, pipeSize))
			return failed != unix.EAGAIN
		})
		switch {
		case err != nil:
			return moved, err
		case failed != nil:
			return moved, os.NewSyscallError("splice", failed)
		case step == 0:
			return moved, io.EOF
		}
		for step > 0 {
			var out int
			err := raw{to}.Write(func(fd uintptr) bool {
				out, failed = splice(pipe[0], int(fd), int64(step))
				return failed != unix.EAGAIN
			})
			if err != nil {
				return moved, err
			}
			if failed != nil {
				return moved, os.NewSyscallError("splice", failed)
			}
			step -= out
			moved += int64(out)
		}
	}
	return moved, nil
}

func splice(from, to int, n int64) (int, error) {
	return ignoringEINTR(func() (int, error) {
		n, err := unix.Splice(from, nil, to, nil, int(n), unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
		return int(n), err
	})
}
