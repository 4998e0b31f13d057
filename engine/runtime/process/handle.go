package process

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"plimsoll/engine/runtime/process/shim"
)

// errGone says that a process has ended, or that its pid is somebody else's
// by now.
var errGone = errors.New("the process has ended")

// handle is a process, held by a descriptor: unlike a pid it never comes to
// mean another process. Waiting on it costs no thread.
type handle struct {
	pid int
	fd  *os.File
}

// openHandle gets hold of the process that id names, and of no other.
func openHandle(id shim.Identity) (*handle, error) {
	fd, err := unix.PidfdOpen(id.PID, unix.PIDFD_NONBLOCK)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) {
		return nil, errGone
	}
	if err != nil {
		return nil, fmt.Errorf("pidfd of process %d: %w (Linux 5.10 or later is needed)", id.PID, err)
	}
	h := &handle{pid: id.PID, fd: os.NewFile(uintptr(fd), "pidfd")}
	// The descriptor is of whoever has the pid now; the start time says who.
	st, err := shim.ReadStat(id.PID)
	if err != nil || st.Start != id.Start || st.State == 'Z' {
		h.reap()
		h.close()
		return nil, errGone
	}
	return h, nil
}

// newHandle takes the descriptor that a fork gave.
func newHandle(pid, fd int) (*handle, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("pidfd of process %d: %w", pid, err)
	}
	return &handle{pid: pid, fd: os.NewFile(uintptr(fd), "pidfd")}, nil
}

// signal signals the process. One that has ended has no use for it.
func (h *handle) signal(sig syscall.Signal) {
	c, err := h.fd.SyscallConn()
	if err != nil {
		return
	}
	c.Control(func(fd uintptr) { unix.PidfdSendSignal(int(fd), sig, nil, 0) })
}

// wait returns when the process has ended. It is an error when the handle was
// closed before.
func (h *handle) wait() error {
	c, err := h.fd.SyscallConn()
	if err != nil {
		return err
	}
	err = c.Read(func(fd uintptr) bool {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(poll, 0)
		return err == nil && n > 0
	})
	if err == nil {
		h.reap()
	}
	return err
}

// reap takes the process's leave if it is a child of this one; the shims of
// an earlier engine are not.
func (h *handle) reap() { syscall.Wait4(h.pid, nil, syscall.WNOHANG, nil) }

func (h *handle) close() { h.fd.Close() }

// killLeftovers kills what a shim that was killed has left behind: what is in
// the task's cgroups, and what is in the session that the shim began.
func killLeftovers(state shim.State, groups []shim.Cgroup) {
	for range 100 {
		left := leftovers(state, groups)
		for _, id := range left {
			if h, err := openHandle(id); err == nil {
				h.signal(syscall.SIGKILL)
				h.close()
			}
		}
		if len(left) == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond) // until they are gone, or have forked
	}
}

func leftovers(state shim.State, groups []shim.Cgroup) []shim.Identity {
	var left []shim.Identity
	add := func(pid int, st shim.Stat) {
		if st.State != 'Z' {
			left = append(left, shim.Identity{PID: pid, Start: st.Start})
		}
	}
	for _, g := range groups {
		for _, pid := range g.Processes() {
			if st, err := shim.ReadStat(pid); err == nil {
				add(pid, st)
			}
		}
	}
	// A session's number is not given to a new process while anyone is in the
	// session. So its members are the task's, unless its leader is a process
	// that started later: then the number was free in between.
	session := state.Shim.PID
	if st, err := shim.ReadStat(session); err == nil && st.Start != state.Shim.Start {
		return left
	}
	for _, pid := range shim.Processes() {
		st, err := shim.ReadStat(pid)
		if err == nil && st.Session == session && pid != session && st.Start >= state.Shim.Start {
			add(pid, st)
		}
	}
	return left
}
