package shim

import (
	"os"
	"syscall"
	"time"
)

// Cgroup is where a container's processes are accounted for. The engine makes
// it and sets its limits; the shim fills it and removes it. The zero value is
// none.
type Cgroup struct {
	// Unified is cgroup v2: one path. Else there is a path for each v1
	// controller.
	Unified bool
	Paths   []string
	// Home is, for each v1 path, where the shim itself belongs.
	Home []string
}

// enter makes the next fork of this thread come into being inside the cgroup.
// v2: the descriptor is for clone. v1: the thread itself, not the process, is
// in it until leave is called. (A thread that moves itself needs no lock of
// the whole machine; another process does.)
func (c Cgroup) enter() (leave func(), fd int) {
	leave = func() {}
	if len(c.Paths) == 0 {
		return leave, -1
	}
	if c.Unified {
		fd, err := syscall.Open(c.Paths[0], syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
		if err != nil {
			return leave, -1 // gone: the task runs without
		}
		return func() { syscall.Close(fd) }, fd
	}
	for _, p := range c.Paths {
		write(p+"/tasks", "0")
	}
	return func() {
		for _, p := range c.Home {
			write(p+"/tasks", "0")
		}
	}, -1
}

// close forbids new processes, so that what forks without end can be killed.
func (c Cgroup) close() {
	for _, p := range c.Paths {
		write(p+"/pids.max", "0")
		write(p+"/cgroup.kill", "1")
	}
}

// outOfMemory tells whether the kernel has killed a process of it for the
// memory limit.
func (c Cgroup) outOfMemory() bool {
	const key = "oom_kill "
	for _, p := range c.Paths {
		for _, file := range []string{"/memory.oom_control", "/memory.events"} {
			data, err := os.ReadFile(p + file)
			if err != nil {
				continue
			}
			for i := 0; i+len(key) < len(data); i++ {
				if (i == 0 || data[i-1] == '\n') && string(data[i:i+len(key)]) == key {
					return data[i+len(key)] != '0'
				}
			}
		}
	}
	return false
}

// Remove removes the cgroup, which is empty. That one stays does no harm.
func (c Cgroup) Remove() {
	for _, p := range c.Paths {
		for range 20 {
			if err := syscall.Rmdir(p); err != syscall.EBUSY {
				break
			}
			time.Sleep(time.Millisecond) // the last process is still on its way out
		}
	}
}

func write(path, value string) {
	fd, err := syscall.Open(path, syscall.O_WRONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	syscall.Write(fd, []byte(value))
	syscall.Close(fd)
}

// Processes gives the pids of what is in the cgroup.
func (c Cgroup) Processes() []int {
	var pids []int
	for _, p := range c.Paths {
		if data, err := os.ReadFile(p + "/cgroup.procs"); err == nil {
			pids = appendNumbers(pids, data)
		}
	}
	return pids
}
