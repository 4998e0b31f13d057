package shim

import (
	"errors"
	"os"
	"strconv"
	"syscall"
	"unsafe"
)

// Numbers of the kernel's that package syscall does not have.
const (
	prSetName           = 15
	prSetChildSubreaper = 36
	prSetNoNewPrivs     = 38

	oPath = 0x200000

	waitAll    = 0 // P_ALL
	waitExited = 0x4
	waitNoReap = 0x1000000 // WNOWAIT
)

func prctl(option int, arg uintptr) error {
	_, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, uintptr(option), arg, 0, 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// setName is what ps and top show of this process.
func setName(name string) {
	b := append([]byte(name), 0)
	syscall.RawSyscall6(syscall.SYS_PRCTL, prSetName, uintptr(unsafe.Pointer(&b[0])), 0, 0, 0, 0)
}

// setLimit sets a limit of another process. The kernel lets its owner lower it,
// and the owner is whom the real ids of this thread name; to raise it takes
// CAP_SYS_RESOURCE.
func setLimit(pid int, c Container, l Limit) error {
	err := prlimit(pid, l)
	if err != syscall.EPERM || !c.Drop {
		return err
	}
	uid, gid := os.Getuid(), os.Getgid()
	setReal(uint32(c.UID), uint32(c.GID))
	defer setReal(uint32(uid), uint32(gid))
	return prlimit(pid, l)
}

func prlimit(pid int, l Limit) error {
	set := [2]uint64{l.Soft, l.Hard}
	_, _, errno := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, uintptr(pid), uintptr(l.Resource), uintptr(unsafe.Pointer(&set)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// setReal changes the real ids of this thread alone, which has a goroutine of its
// own; what it may do depends on the effective ones.
func setReal(uid, gid uint32) {
	const same = ^uintptr(0)
	syscall.RawSyscall(syscall.SYS_SETRESGID, uintptr(gid), same, same)
	syscall.RawSyscall(syscall.SYS_SETRESUID, uintptr(uid), same, same)
}

func dupCloseOnExec(fd int) (int, error) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_DUPFD_CLOEXEC, 10)
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

// ended gives a child that has ended, without reaping it; 0 if there is none.
func ended() int {
	var info [128]byte
	for {
		_, _, errno := syscall.Syscall6(syscall.SYS_WAITID, waitAll, 0, uintptr(unsafe.Pointer(&info)),
			waitExited|waitNoReap|syscall.WNOHANG, 0, 0)
		if errno == syscall.EINTR {
			continue
		}
		if errno != 0 {
			return 0
		}
		// si_pid comes after three ints, aligned to a pointer.
		offset := (12 + unsafe.Sizeof(uintptr(0)) - 1) &^ (unsafe.Sizeof(uintptr(0)) - 1)
		return int(*(*int32)(unsafe.Pointer(&info[offset])))
	}
}

func wait4(pid int, status *syscall.WaitStatus, options int) (int, error) {
	for {
		got, err := syscall.Wait4(pid, status, options, nil)
		if err != syscall.EINTR {
			return got, err
		}
	}
}

// sweep kills every descendant of this process and returns when there is
// none. The children of what is killed become children of this process.
func sweep() {
	for {
		// A child's pid is its own until it is reaped, and only this
		// goroutine reaps.
		for _, pid := range Children(os.Getpid()) {
			syscall.Kill(pid, syscall.SIGKILL)
		}
		if _, err := wait4(-1, nil, 0); err == syscall.ECHILD {
			return
		}
	}
}

// Children gives the pids of the direct children of a process.
func Children(parent int) []int {
	dir := "/proc/" + strconv.Itoa(parent) + "/task/"
	threads, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var pids []int
	for _, t := range threads {
		data, err := os.ReadFile(dir + t.Name() + "/children")
		if errors.Is(err, os.ErrNotExist) {
			if _, gone := os.Stat(dir + t.Name()); gone != nil {
				continue
			}
			return childrenByScan(parent) // a kernel without CONFIG_PROC_CHILDREN
		}
		pids = appendNumbers(pids, data)
	}
	return pids
}

func childrenByScan(parent int) []int {
	var pids []int
	for _, pid := range Processes() {
		if st, err := ReadStat(pid); err == nil && st.Parent == parent {
			pids = append(pids, pid)
		}
	}
	return pids
}

func appendNumbers(to []int, data []byte) []int {
	n, in := 0, false
	for _, b := range append(data, ' ') {
		if b >= '0' && b <= '9' {
			n, in = n*10+int(b-'0'), true
			continue
		}
		if in {
			to = append(to, n)
		}
		n, in = 0, false
	}
	return to
}

// Processes gives the pids of all processes of the machine.
func Processes() []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var pids []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// Stat is what /proc/PID/stat says of a process.
type Stat struct {
	State                  byte // 'Z': it has ended and waits to be reaped
	Parent, Group, Session int
	Start                  uint64 // clock ticks since boot
}

// ReadStat reads the stat of a process. It is an error that wraps
// fs.ErrNotExist or ESRCH if there is none.
func ReadStat(pid int) (Stat, error) {
	path := "/proc/" + strconv.Itoa(pid) + "/stat"
	data, err := os.ReadFile(path)
	if err != nil {
		return Stat{}, err
	}
	// The second field is a name in parentheses and may hold anything.
	at := len(data) - 1
	for at >= 0 && data[at] != ')' {
		at--
	}
	if at < 0 || at+2 >= len(data) {
		return Stat{}, errors.New(path + ": unknown format")
	}
	st := Stat{State: data[at+2]}
	// The fields from the fourth on, of which a few may be negative.
	field, n := 4, uint64(0)
	for _, b := range data[min(at+4, len(data)):] {
		if b >= '0' && b <= '9' {
			n = n*10 + uint64(b-'0')
			continue
		}
		if b != ' ' {
			continue
		}
		switch field {
		case 4:
			st.Parent = int(n)
		case 5:
			st.Group = int(n)
		case 6:
			st.Session = int(n)
		case 22:
			st.Start = n
			return st, nil
		}
		field, n = field+1, 0
	}
	return Stat{}, errors.New(path + ": unknown format")
}

func identify(pid int) Identity {
	st, _ := ReadStat(pid) // a child that is not reaped has a stat
	return Identity{PID: pid, Start: st.Start}
}

func writeAll(fd int, data []byte) error {
	for len(data) > 0 {
		n, err := syscall.Write(fd, data)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

// replaceFile writes a file whole or not at all. With durable it is on disk
// when it returns.
func replaceFile(path string, data []byte, durable bool) error {
	f, err := os.OpenFile(path+".tmp", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil && durable {
		err = syscall.Fdatasync(int(f.Fd()))
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(path+".tmp", path)
	}
	return err
}

// wrapped is an error with the place where it came about.
type wrapped struct {
	place string
	err   error
}

func (w wrapped) Error() string { return w.place + ": " + w.err.Error() }
func (w wrapped) Unwrap() error { return w.err }

func wrap(place string, err error) error { return wrapped{place, err} }
