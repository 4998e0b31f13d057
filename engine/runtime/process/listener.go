package process

import (
	"bufio"
	"encoding/hex"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	goruntime "runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// listener is a socket that listens for TCP connections, whoever has it.
type listener struct {
	addr   netip.Addr
	socket uint64 // its inode: whoever has the socket has a descriptor of that
}

// listeners gives the listeners of the machine by port.
func listeners() map[int][]listener {
	found := map[int][]listener{}
	for _, path := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		readListeners(path, found)
	}
	return found
}

// readListeners reads one table of the kernel's. It lists listeners before
// connections, so the thousands of a busy router are not read.
func readListeners(path string, found map[int][]listener) {
	f, err := os.Open(path)
	if err != nil {
		return
	}
	defer f.Close()
	lines := bufio.NewScanner(bufio.NewReaderSize(f, 16<<10))
	lines.Scan() // the heading
	for lines.Scan() {
		const address, state, inode = 1, 3, 9
		fields := strings.Fields(lines.Text())
		if len(fields) <= inode || fields[state] != "0A" {
			return
		}
		host, port, ok := strings.Cut(fields[address], ":")
		n, err := strconv.ParseUint(port, 16, 16)
		addr, good := kernelAddr(host)
		socket, bad := strconv.ParseUint(fields[inode], 10, 64)
		if ok && good && err == nil && bad == nil {
			found[int(n)] = append(found[int(n)], listener{addr, socket})
		}
	}
}

// kernelAddr reads an address as the kernel prints it: words of four bytes in
// the machine's own order, which is little-endian wherever this runs.
func kernelAddr(s string) (netip.Addr, bool) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b)%4 != 0 {
		return netip.Addr{}, false
	}
	for i := 0; i < len(b); i += 4 {
		b[i], b[i+1], b[i+2], b[i+3] = b[i+3], b[i+2], b[i+1], b[i]
	}
	addr, ok := netip.AddrFromSlice(b)
	return addr.Unmap(), ok
}

// owned gives those of the sockets that a process of the task has, be it by
// inheritance. Blind tells that one of them could not be looked into, and some
// sockets were not found.
func (t *task) owned(sockets map[uint64]bool) (own map[uint64]bool, blind bool) {
	t.mu.Lock()
	h := t.handle
	t.mu.Unlock()
	if h == nil {
		return nil, false // its state was told before its start was answered
	}
	shim := h.pid
	own = map[uint64]bool{}
	for pid := range family(shim) {
		if pid == shim {
			continue // it is no program of the task's
		}
		err := socketsOf(pid, func(socket uint64) (more bool) {
			if sockets[socket] {
				own[socket] = true
			}
			return len(own) < len(sockets)
		})
		if len(own) == len(sockets) {
			return own, false
		}
		blind = blind || errors.Is(err, fs.ErrPermission)
	}
	return own, blind
}

// socketsOf calls f for each socket that a process has, until f wants no more.
// It is an error that wraps fs.ErrPermission if this process may not know.
func socketsOf(pid int, f func(socket uint64) (more bool)) error {
	path := "/proc/" + strconv.Itoa(pid) + "/fd"
	err := readSockets(path, f)
	if errors.Is(err, fs.ErrPermission) && os.Geteuid() == 0 {
		return asOwner(path, func() error { return readSockets(path, f) })
	}
	return err
}

// asOwner calls f as the user whose the file is. Root in a container usually may
// do without much, but not look into the processes of others (CAP_SYS_PTRACE):
// they themselves may.
func asOwner(path string, f func() error) error {
	var owner unix.Stat_t
	if err := unix.Stat(path, &owner); err != nil {
		return err
	}
	done := make(chan error)
	go func() {
		// Of this thread alone, which ends with the goroutine: it is never unlocked.
		goruntime.LockOSThread()
		_ = unix.Setfsgid(int(owner.Gid)) // if it may not, f says so
		_ = unix.Setfsuid(int(owner.Uid))
		done <- f()
	}()
	return <-done
}

func readSockets(path string, f func(socket uint64) (more bool)) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	var link [64]byte // room for what is no socket is not needed
	for _, name := range names {
		n, err := unix.Readlinkat(int(dir.Fd()), name, link[:])
		if errors.Is(err, fs.ErrPermission) {
			return err
		}
		if err != nil {
			continue // it has just been closed
		}
		number, ok := strings.CutPrefix(string(link[:n]), "socket:[")
		if !ok {
			continue
		}
		socket, err := strconv.ParseUint(strings.TrimSuffix(number, "]"), 10, 64)
		if err == nil && !f(socket) {
			return nil
		}
	}
	return nil
}
