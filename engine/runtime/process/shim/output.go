package shim

import (
	"os"
	"syscall"
	"time"
)

// output copies what a container prints into a file of bounded size. It goes
// through a pipe, because a file that the container itself holds open cannot
// be bounded; when the disk is full it drops what is printed rather than
// holding the container up.
type output struct {
	path, older string
	limit       int64
	pipe        *os.File
	f           *os.File // nil until something is printed
	size        int64
	done        chan struct{}
}

// openOutput gives the output and the end of the pipe that is the container's.
func openOutput(dir, container string, limit int64) (o *output, write int, err error) {
	var ends [2]int
	if err := syscall.Pipe2(ends[:], syscall.O_CLOEXEC); err != nil {
		return nil, -1, wrap("pipe", err)
	}
	o = &output{
		path: dir + "/" + LogName(container), older: dir + "/" + RotatedName(container),
		limit: limit, done: make(chan struct{}),
	}
	// Only this end: the container's must block.
	syscall.SetNonblock(ends[0], true)
	o.pipe = os.NewFile(uintptr(ends[0]), "output")
	return o, ends[1], nil
}

func (o *output) open() {
	f, err := os.OpenFile(o.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return // what is printed is dropped
	}
	o.f, o.size = f, 0
	if info, err := f.Stat(); err == nil {
		o.size = info.Size()
	}
}

func (o *output) start() { go o.copy() }

func (o *output) abandon() {
	o.pipe.Close()
	close(o.done)
}

func (o *output) copy() {
	defer close(o.done)
	buf := make([]byte, 16<<10)
	for {
		n, err := o.pipe.Read(buf)
		if n > 0 {
			o.write(buf[:n])
		}
		if err != nil {
			o.f.Close()
			return
		}
	}
}

func (o *output) write(p []byte) {
	if o.f == nil {
		o.open()
	}
	if o.limit > 0 && o.size+int64(len(p)) > o.limit && o.size > 0 {
		os.Rename(o.path, o.older)
		o.f.Close()
		o.f, o.size = nil, 0
		o.open()
	}
	if o.f == nil {
		return
	}
	n, _ := o.f.Write(p)
	o.size += int64(n)
}

// wait waits until all that was printed is in the file. Everything that could
// print is dead by then; the bound is for what cannot be.
func (o *output) wait(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-o.done:
	case <-t.C:
	}
}
