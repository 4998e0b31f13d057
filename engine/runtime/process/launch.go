package process

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"plimsoll/engine/runtime"
	"plimsoll/engine/runtime/process/shim"
)

// DefaultPath is the PATH of a task that names none.
const DefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// defaultStopTimeout is ECS's own, for a container that names none.
const defaultStopTimeout = 30 * time.Second

// record is what the engine keeps of a task, for the next engine, of what the
// shim does not know: the first line of the task's lock file.
type record struct {
	Boot       string            `json:"boot"` // the machine's boot id
	Containers []string          `json:"containers"`
	Bindings   []runtime.Binding `json:"bindings,omitempty"`
	Cgroups    []shim.Cgroup     `json:"cgroups,omitempty"`
}

func readRecord(dir string) (record, error) {
	var kept record
	data, err := os.ReadFile(filepath.Join(dir, shim.LockFile))
	if err != nil {
		return kept, err
	}
	line, _, _ := bytes.Cut(data, []byte("\n"))
	return kept, json.Unmarshal(line, &kept)
}

// launch starts the task. It returns when it runs, or has failed.
func (t *task) launch() {
	if t.wantsStop() {
		t.conclude(runtime.Event{Kind: runtime.StartFailed, Reason: "TaskFailedToStart: it was stopped before it was started"})
		return
	}
	spec, err := t.prepare()
	if err != nil {
		t.fail("CannotStartContainerError: " + err.Error())
		return
	}
	lock, err := t.claim()
	if err != nil {
		t.fail("CannotStartContainerError: " + err.Error())
		return
	}
	t.follow()
	h, reply, err := t.startShim(spec, lock)
	switch {
	case h == nil:
		os.RemoveAll(t.dir)
		t.fail("CannotStartContainerError: " + err.Error())
	case err != nil: // it does not answer
		h.signal(syscall.SIGKILL)
		h.wait()
		h.close()
		if !t.r.isClosed() {
			t.finish()
		}
	case !reply.Started:
		h.wait()
		h.close()
		t.finish()
	default:
		t.run(h)
		t.r.spawn(t.watch)
	}
}

// follow has the changes of the task's state told, if there can be any.
func (t *task) follow() {
	if !t.watched {
		return
	}
	if err := t.r.states.add(t); err != nil {
		t.r.o.Log.Warn("the containers of a task cannot be followed: their health and restarts are not told", "task", t.spec.TaskID, "error", err)
	}
}

// fail ends a start of which there is nothing to clean up but ports and cgroups.
func (t *task) fail(reason string) {
	for _, c := range t.kept.Cgroups {
		c.Remove()
	}
	t.release()
	t.conclude(runtime.Event{Kind: runtime.StartFailed, Reason: reason})
}

// prepare works out all that the shim needs, and takes the ports.
func (t *task) prepare() (shim.Launch, error) {
	if !validID(t.spec.TaskID) {
		return shim.Launch{}, fmt.Errorf("task id %q: letters, digits, '-', '_' and '.' are allowed", t.spec.TaskID)
	}
	t.kept.Boot = t.r.boot
	seen := map[string]bool{}
	for _, c := range t.spec.Containers {
		if !validID(c.Name) || seen[c.Name] {
			return shim.Launch{}, fmt.Errorf("container name %q: letters, digits, '-', '_' and '.' are allowed, each name once", c.Name)
		}
		seen[c.Name] = true
		t.kept.Containers = append(t.kept.Containers, c.Name)
		bindings, err := t.r.ports.take(t.spec.Address, c)
		t.kept.Bindings = append(t.kept.Bindings, bindings...)
		if err != nil {
			return shim.Launch{}, fmt.Errorf("container %q: %w", c.Name, err)
		}
	}
	var l shim.Launch
	for i, c := range t.spec.Containers {
		s, err := t.r.container(t.spec, c, t.kept.Bindings)
		if err != nil {
			return shim.Launch{}, fmt.Errorf("container %q: %w", c.Name, err)
		}
		if s.Cgroup = t.r.cgroups.make(t.spec.TaskID, i, c); len(s.Cgroup.Paths) > 0 {
			t.kept.Cgroups = append(t.kept.Cgroups, s.Cgroup)
		}
		l.Containers = append(l.Containers, s)
	}
	if len(l.Containers) == 0 {
		return shim.Launch{}, errors.New("the task has no containers")
	}
	return l, nil
}

// container is what the shim has to know of a container.
func (r *Runtime) container(spec runtime.Spec, c runtime.Container, bindings []runtime.Binding) (shim.Container, error) {
	s := shim.Container{
		Name: c.Name, Args: slices.Concat(c.EntryPoint, c.Command), Dir: c.WorkingDir,
		StopTimeout: c.StopTimeout, Essential: c.Essential, LogLimit: r.o.LogLimit,
		DependsOn: c.DependsOn, StartTimeout: c.StartTimeout, Restart: c.Restart,
	}
	if s.StopTimeout <= 0 {
		s.StopTimeout = defaultStopTimeout
	}
	if s.Dir == "" {
		s.Dir = "/"
	}
	if !filepath.IsAbs(s.Dir) {
		return s, fmt.Errorf("working directory %q: an absolute path is needed", s.Dir)
	}
	var err error
	if s.Health, err = healthCheck(c.HealthCheck); err != nil {
		return s, err
	}
	if s.Limits, err = limits(c.Setting.Ulimits); err != nil {
		return s, err
	}
	u, err := r.userFor(c.User)
	if err != nil {
		return s, err
	}
	if r.root {
		s.Drop, s.UID, s.GID = true, u.uid, u.gid
	}
	s.Env = environment(spec, c, u.home, bindings)
	return s, nil
}

// environment is the task's own, with the defaults. PORT and PORT_n always
// name the host ports: a process has no port mapping, so the host's port is
// what it has to listen on, whatever the definition said.
func environment(spec runtime.Spec, c runtime.Container, home string, bindings []runtime.Binding) []string {
	env := map[string]string{"PATH": DefaultPath, "HOME": home}
	if spec.Address != "" {
		env["HOST"] = spec.Address
	}
	for k, v := range c.Env {
		env[k] = v
	}
	first := true
	for _, b := range bindings {
		if b.Container != c.Name {
			continue
		}
		port := strconv.Itoa(b.HostPort)
		if first {
			env["PORT"] = port
		}
		first = false
		env["PORT_"+strconv.Itoa(b.ContainerPort)] = port
	}
	list := make([]string, 0, len(env))
	for k, v := range env {
		list = append(list, k+"="+v)
	}
	slices.Sort(list)
	return list
}

// claim makes the task's folder and locks it. From here on, whoever finds the
// lock free knows that nothing of the task is being started: the shim has it
// from this process without a gap. A file for each thing that is kept would be the
// dearest part of a start, so the record goes into the lock file; it is cut short
// only where this process is killed before it forks.
func (t *task) claim() (*os.File, error) {
	if err := os.Mkdir(t.dir, 0o700); err != nil {
		if errors.Is(err, os.ErrExist) {
			return nil, fmt.Errorf("the id %q was used before (%s)", t.spec.TaskID, t.dir)
		}
		return nil, err
	}
	lock, err := takeLock(t.dir)
	if err == nil {
		var data []byte
		if data, err = json.Marshal(t.kept); err == nil {
			_, err = lock.Write(append(data, '\n'))
		}
		if err == nil {
			return lock, nil
		}
		lock.Close()
	}
	os.RemoveAll(t.dir)
	return nil, err
}

// errHeld says that a task's folder is locked: its shim is alive, or about to be.
var errHeld = errors.New("the task's folder is locked")

func takeLock(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, shim.LockFile), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errHeld
		}
		return nil, fmt.Errorf("lock of %q: %w", dir, err)
	}
	return f, nil
}

// startShim forks the shim, gives it the launch, and waits for its answer. No
// handle: nothing was forked. A handle and an error: it did not answer.
func (t *task) startShim(l shim.Launch, lock *os.File) (*handle, shim.Reply, error) {
	defer lock.Close()
	in, launch, err := os.Pipe()
	if err != nil {
		return nil, shim.Reply{}, err
	}
	answer, out, err := os.Pipe()
	if err != nil {
		in.Close()
		launch.Close()
		return nil, shim.Reply{}, err
	}
	defer answer.Close()
	defer launch.Close()
	h, err := t.r.forkShim(t.dir, in, out, lock)
	in.Close()
	out.Close()
	if err != nil {
		return nil, shim.Reply{}, err
	}
	deadline := time.Now().Add(startTimeout)
	launch.SetWriteDeadline(deadline)
	answer.SetReadDeadline(deadline)
	if _, err := launch.Write(l.Encode()); err != nil {
		return h, shim.Reply{}, err
	}
	launch.Close()
	reply, err := readReply(answer)
	return h, reply, err
}

// readReply does not wait for the pipe's end: another fork may hold it open
// for a moment.
func readReply(answer *os.File) (shim.Reply, error) {
	var got []byte
	buf := make([]byte, 4096)
	for {
		n, err := answer.Read(buf)
		got = append(got, buf[:n]...)
		if reply, bad := shim.DecodeReply(got); bad == nil {
			return reply, nil
		}
		if err != nil {
			return shim.Reply{}, err
		}
	}
}

// forkShim executes the shim in a session of its own: the engine's terminal
// and its signals are not the task's.
func (r *Runtime) forkShim(dir string, in, out, lock *os.File) (*handle, error) {
	fd := -1
	pid, err := r.parent.fork([]string{"--dir", dir}, []uintptr{in.Fd(), out.Fd(), lock.Fd(), lock.Fd()},
		&syscall.SysProcAttr{Setsid: true, PidFD: &fd})
	if err != nil {
		return nil, fmt.Errorf("starting the task's parent process %q: %w", r.parent.path, err)
	}
	if fd < 0 {
		if fd, err = unix.PidfdOpen(pid, 0); err != nil {
			syscall.Kill(pid, syscall.SIGKILL)
			syscall.Wait4(pid, nil, 0, nil)
			return nil, fmt.Errorf("pidfd: %w (Linux 5.10 or later is needed)", err)
		}
	}
	return newHandle(pid, fd)
}

// bootID changes when the machine is restarted; pids and start times from
// before mean nothing then.
func bootID() string {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return string(data[:max(len(data)-1, 0)])
}
