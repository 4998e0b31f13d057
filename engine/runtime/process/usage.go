package process

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"plimsoll/engine/runtime"
	"plimsoll/engine/runtime/order"
	"plimsoll/engine/runtime/process/shim"
)

// tick is the unit of the times in /proc: USER_HZ, which is 100 on every Linux.
const tick = time.Second / 100

// Usage implements runtime.Meter: from the container's cgroup where there is one,
// else from /proc, for the process and all that came of it.
func (r *Runtime) Usage(_ context.Context, taskID string) ([]runtime.Usage, error) {
	t := r.task(taskID)
	if t == nil {
		return nil, fmt.Errorf("task %q: %w", taskID, fs.ErrNotExist)
	}
	state, err := shim.ReadState(t.dir)
	if err != nil {
		return nil, fmt.Errorf("task %q: %w", taskID, fs.ErrNotExist)
	}
	var all []runtime.Usage
	for i, c := range state.Containers {
		if c.Phase != order.Running {
			continue
		}
		u := runtime.Usage{Container: c.Name, At: r.o.Now()}
		if i < len(t.kept.Cgroups) && len(t.kept.Cgroups) == len(state.Containers) {
			measureCgroup(&u, t.kept.Cgroups[i])
		}
		measureProcesses(&u, c.PID, t.kept.Cgroups, i)
		for _, d := range t.spec.Containers {
			if d.Name == c.Name && u.MemoryLimit == 0 {
				u.MemoryLimit = d.Memory << 20
			}
		}
		all = append(all, u)
	}
	return all, nil
}

// measureCgroup reads what the kernel accounts to the cgroup.
func measureCgroup(u *runtime.Usage, c shim.Cgroup) {
	for _, path := range c.Paths {
		if c.Unified {
			u.CPU = time.Duration(field(path+"/cpu.stat", "usage_usec")) * time.Microsecond
			u.Memory = max(0, number(path+"/memory.current")-field(path+"/memory.stat", "inactive_file"))
			continue
		}
		if memory := number(path + "/memory.usage_in_bytes"); memory > 0 {
			u.Memory = max(0, memory-field(path+"/memory.stat", "total_inactive_file"))
		}
		if cpu := number(path + "/cpuacct.usage"); cpu > 0 {
			u.CPU = time.Duration(cpu)
		}
	}
}

// measureProcesses counts the container's processes, and adds up of them what the
// cgroup did not tell.
func measureProcesses(u *runtime.Usage, pid int, groups []shim.Cgroup, i int) {
	pids := map[int]bool{}
	if i < len(groups) {
		for _, p := range groups[i].Processes() {
			pids[p] = true
		}
	}
	if len(pids) == 0 {
		for p := range family(pid) {
			pids[p] = true
		}
	}
	u.PIDs = len(pids)
	needCPU, needMemory := u.CPU == 0, u.Memory == 0
	for p := range pids {
		cpu, memory := ofProcess(p)
		if needCPU {
			u.CPU += cpu
		}
		if needMemory {
			u.Memory += memory
		}
	}
}

// ofProcess is the CPU time of a process, with that of the children it has waited
// for, and its resident memory in bytes.
func ofProcess(pid int) (cpu time.Duration, memory int64) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, 0 // it has just ended
	}
	// The name is in parentheses and may hold anything; the third field follows.
	rest := string(text)
	rest = rest[strings.LastIndexByte(rest, ')')+1:]
	fields := strings.Fields(rest)
	const utime, cstime, rss = 11, 14, 21
	if len(fields) <= rss {
		return 0, 0
	}
	for _, f := range fields[utime : cstime+1] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err == nil {
			cpu += time.Duration(n) * tick
		}
	}
	pages, err := strconv.ParseInt(fields[rss], 10, 64)
	if err != nil {
		return cpu, 0
	}
	return cpu, pages * int64(os.Getpagesize())
}

// number reads a file with one number; 0 if there is none.
func number(path string) int64 {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0 // "max"
	}
	return n
}

// field reads one line of a file of names and numbers.
func field(path, name string) int64 {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
			if err == nil {
				return n
			}
		}
	}
	return 0
}
