package process

import (
	"log/slog"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strconv"
	"strings"
	"sync"

	"plimsoll/engine/runtime"
	"plimsoll/engine/runtime/process/shim"
)

// cgroupRoot is where the machine's cgroups are mounted, by convention.
const cgroupRoot = "/sys/fs/cgroup"

// controllers are those of cgroup v1 that a container is put into: its share
// of the CPU, its memory limit, and the means to end what forks for ever.
var controllers = []string{"cpu", "memory", "pids"}

// cgroups makes a cgroup for each container, where the machine allows it. A
// task never fails for the want of one.
type cgroups struct {
	log     *slog.Logger
	unified bool
	parents []string
	home    []string
	once    sync.Once
}

func newCgroups(o Options) *cgroups {
	g := &cgroups{log: o.Log}
	if o.NoCgroups {
		return g
	}
	if _, err := os.Stat(filepath.Join(cgroupRoot, "cgroup.controllers")); err == nil {
		g.unified = true
		g.prepareUnified(filepath.Join(cgroupRoot, o.Cgroup))
		return g
	}
	for _, c := range controllers {
		parent := filepath.Join(cgroupRoot, c, o.Cgroup)
		if err := os.Mkdir(parent, 0o755); err != nil && !os.IsExist(err) {
			g.without(err)
			continue
		}
		g.parents = append(g.parents, parent)
		g.home = append(g.home, ownCgroup(c))
		if c == "cpu" {
			// Together the tasks weigh as much as the machine has CPUs, so that
			// a busy engine beside them does not take their share.
			set(parent, "cpu.shares", 1024*int64(goruntime.NumCPU()))
		}
	}
	return g
}

func (g *cgroups) prepareUnified(parent string) {
	if err := os.Mkdir(parent, 0o755); err != nil && !os.IsExist(err) {
		g.without(err)
		return
	}
	for _, dir := range []string{cgroupRoot, parent} {
		for _, c := range controllers {
			if err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+c), 0o644); err != nil {
				g.without(err)
			}
		}
	}
	g.parents = []string{parent}
}

// without says, once, that limits are not kept.
func (g *cgroups) without(err error) {
	g.once.Do(func() {
		g.log.Warn("cgroups cannot be used, so CPU shares and memory limits of processes are not enforced", "error", err)
	})
}

// ownCgroup is where this process is in the hierarchy of a v1 controller, as
// far as it can be seen from here.
func ownCgroup(controller string) string {
	mount := filepath.Join(cgroupRoot, controller)
	data, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return mount
	}
	for line := range strings.Lines(string(data)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		for _, name := range strings.Split(fields[1], ",") {
			own := filepath.Join(mount, fields[2])
			if _, err := os.Stat(own); name == controller && err == nil {
				return own
			}
		}
	}
	return mount
}

// make makes the cgroup of the n-th container of a task and sets its limits.
func (g *cgroups) make(taskID string, n int, c runtime.Container) shim.Cgroup {
	made := shim.Cgroup{Unified: g.unified}
	for i, parent := range g.parents {
		dir := filepath.Join(parent, taskID+"."+strconv.Itoa(n))
		if err := os.MkdirAll(dir, 0o755); err != nil { // all: another engine may have tidied the parent up
			g.without(err)
			continue
		}
		made.Paths = append(made.Paths, dir)
		if g.unified {
			set(dir, "cpu.weight", 1+(max(c.CPU, 2)-2)*9999/262142)
			if c.Memory > 0 {
				set(dir, "memory.max", c.Memory<<20)
				set(dir, "memory.swap.max", 0)
			}
			continue
		}
		made.Home = append(made.Home, g.home[i])
		switch filepath.Base(filepath.Dir(parent)) {
		case "cpu":
			set(dir, "cpu.shares", max(c.CPU, 2))
		case "memory":
			if c.Memory > 0 {
				set(dir, "memory.limit_in_bytes", c.Memory<<20)
				set(dir, "memory.memsw.limit_in_bytes", c.Memory<<20)
			}
		}
	}
	return made
}

// close removes the parents if no task is left in them.
func (g *cgroups) close() {
	for _, p := range g.parents {
		os.Remove(p)
	}
}

// set writes a limit; one that this kernel does not have is not enforced.
func set(dir, file string, value int64) {
	f, err := os.OpenFile(filepath.Join(dir, file), os.O_WRONLY, 0)
	if err != nil {
		return
	}
	f.WriteString(strconv.FormatInt(value, 10))
	f.Close()
}
