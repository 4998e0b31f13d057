package process

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"plimsoll/engine/runtime/process/shim"
)

// parent is what is executed as the parent process of a task.
type parent struct {
	path string
	argv []string
	file *os.File // what path is in the new process, as shim.ProgramFD; nil: path is a file's
}

// newParent is the shim that the program carries, and else the program itself,
// which is the same, but slower and larger.
func newParent(o Options) parent {
	if len(o.Shim) > 0 {
		return parent{path: o.Shim[0], argv: o.Shim}
	}
	argv := []string{"plimsoll", shim.Command}
	file, err := carried(o.Program)
	if err == nil {
		return parent{path: "/proc/self/fd/" + strconv.Itoa(shim.ProgramFD), argv: argv, file: file}
	}
	if !errors.Is(err, errCarriesNone) {
		o.Log.Info("the tasks' parent processes are the whole program, and not the small one that it carries", "error", err)
	}
	return parent{path: ownProgram, argv: argv}
}

// fork executes it with more arguments, and with the descriptors.
func (p parent) fork(args []string, files []uintptr, sys *syscall.SysProcAttr) (pid int, err error) {
	if p.file != nil {
		files = append(files, p.file.Fd())
	}
	return syscall.ForkExec(p.path, slices.Concat(p.argv, args), &syscall.ProcAttr{
		Dir: "/",
		// One thread's worth of Go, and little garbage: there is one for each
		// task of the machine. What the machine's cgroups allow need not be read,
		// and nobody asks what it allocated.
		Env:   []string{"GOMAXPROCS=1", "GOGC=25", "GOTRACEBACK=single", "GODEBUG=containermaxprocs=0,memprofilerate=0"},
		Files: files,
		Sys:   sys,
	})
}

func (p parent) close() {
	if p.file != nil {
		p.file.Close()
	}
}

// ownProgram is the file of this very executable.
const ownProgram = "/proc/self/exe"

// The last line of a program that carries the shim: how many bytes before this line
// it is. cmd/plimsoll-shim/join writes it.
const (
	carriedMark   = "plimsoll-shim: "
	carriedDigits = 12
	carriedLine   = len(carriedMark) + carriedDigits + 1
)

var errCarriesNone = errors.New("the program carries no shim")

// carried gives the shim that a program carries as a file in memory that nobody can
// change, and that was seen to run: a machine may forbid it.
func carried(program string) (*os.File, error) {
	from, err := os.Open(program)
	if err != nil {
		return nil, err
	}
	defer from.Close()
	at, size, err := findCarried(from)
	if err != nil {
		return nil, err
	}
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate("plimsoll-shim", flags|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3 every such file may be executed
		fd, err = unix.MemfdCreate("plimsoll-shim", flags)
	}
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	file := os.NewFile(uintptr(fd), "plimsoll-shim")
	if _, err = io.Copy(file, io.NewSectionReader(from, at, size)); err == nil {
		_, err = unix.FcntlInt(file.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_SEAL|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_WRITE)
	}
	if err == nil {
		err = (&exec.Cmd{Path: "/proc/self/fd/3", Args: []string{"plimsoll-shim"}, ExtraFiles: []*os.File{file}}).Run()
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("the shim that the program carries: %w", err)
	}
	return file, nil
}

// findCarried tells where in a program the shim is.
func findCarried(program *os.File) (at, size int64, err error) {
	end, err := program.Seek(0, io.SeekEnd)
	if err != nil || end < int64(carriedLine) {
		return 0, 0, errors.Join(errCarriesNone, err)
	}
	line := make([]byte, carriedLine)
	at = end - int64(carriedLine)
	if _, err := program.ReadAt(line, at); err != nil {
		return 0, 0, err
	}
	digits, ok := strings.CutPrefix(string(line), carriedMark)
	if !ok {
		return 0, 0, errCarriesNone
	}
	size, err = strconv.ParseInt(strings.TrimSuffix(digits, "\n"), 10, 64)
	if err != nil || size <= 0 || size > at {
		return 0, 0, fmt.Errorf("the program's last line is %q: not the size of a shim before it", line)
	}
	return at - size, size, nil
}
