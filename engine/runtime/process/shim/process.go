package shim

import (
	"errors"
	"os"
	"strconv"
	"syscall"

	"plimsoll/engine/runtime/order"
)

// process is a container that was started.
type process struct {
	c        Container
	identity Identity
	pid      int // and the number of its process group; 0 when it has ended
	exit     *ContainerExit
	reason   string // why it could not be started
	checker  *order.Checker
	output   *output
}

// signal signals the container's process group. While its leader has not been
// reaped, the group's number is nobody else's.
func (p *process) signal(sig syscall.Signal) {
	if p.pid == 0 {
		return
	}
	if syscall.Kill(-p.pid, sig) != nil {
		syscall.Kill(p.pid, sig)
	}
}

// spawn starts a container's command, with its output kept.
func (s *shim) spawn(c Container) (*process, error) {
	if len(c.Args) == 0 || c.Args[0] == "" {
		return nil, errors.New("it has no command; give one (an image is run by the docker runtime only)")
	}
	out, write, err := openOutput(s.dir, c.Name, c.LogLimit)
	if err != nil {
		return nil, err
	}
	pid, err := s.run(c, write)
	syscall.Close(write)
	if err != nil {
		out.abandon()
		return nil, err
	}
	out.start()
	p := &process{c: c, pid: pid, identity: identify(pid), output: out}
	p.identity.Name = c.Name
	return p, nil
}

// run starts a command in a process group of its own, in the container's setting.
func (s *shim) run(c Container, output int) (int, error) {
	// The folder is entered with the rights of this process, so that it may
	// lie below one that the task's user cannot enter.
	if err := syscall.Chdir(c.Dir); err != nil {
		return 0, wrap("working directory "+strconv.Quote(c.Dir), err)
	}
	path, err := lookup(c)
	if err != nil {
		return 0, err
	}
	leave, cgroup := c.Cgroup.enter()
	defer leave()
	attr := &syscall.ProcAttr{
		Env:   c.Env,
		Files: []uintptr{uintptr(s.null), uintptr(output), uintptr(output)},
		Sys: &syscall.SysProcAttr{
			Setpgid:     true,
			Pdeathsig:   syscall.SIGKILL, // should this process be killed
			UseCgroupFD: cgroup >= 0,
			CgroupFD:    cgroup,
			Ptrace:      len(c.Limits) > 0,
		},
	}
	if c.Drop {
		attr.Sys.Credential = &syscall.Credential{Uid: c.UID, Gid: c.GID}
	}
	pid, err := syscall.ForkExec(path, c.Args, attr)
	if err == syscall.EACCES && c.Drop {
		pid, err = execOpened(path, c.Args, attr)
	}
	if err != nil {
		return 0, explain(c, path, err)
	}
	if len(c.Limits) > 0 {
		return pid, limit(pid, c)
	}
	return pid, nil
}

// limit sets the limits of a process that stands still before its first
// instruction, because it is traced, and lets it go.
func limit(pid int, c Container) error {
	var status syscall.WaitStatus
	if _, err := wait4(pid, &status, 0); err != nil || !status.Stopped() {
		return errors.New("its ulimits cannot be set: it ended before it began")
	}
	for _, l := range c.Limits {
		if err := setLimit(pid, c, l); err != nil {
			syscall.Kill(pid, syscall.SIGKILL)
			wait4(pid, &status, 0)
			return wrap("ulimit "+l.Name, err)
		}
	}
	if err := syscall.PtraceDetach(pid); err != nil {
		syscall.Kill(pid, syscall.SIGKILL)
		wait4(pid, &status, 0)
		return wrap("its ulimits cannot be set", err)
	}
	return nil
}

// execOpened executes a file that the task's user may run but cannot reach by
// its path (it lies in a private folder), through a descriptor.
func execOpened(path string, args []string, attr *syscall.ProcAttr) (int, error) {
	fd, err := syscall.Open(path, oPath|syscall.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer syscall.Close(fd)
	through := *attr
	through.Files = append(append([]uintptr(nil), attr.Files...), uintptr(fd))
	return syscall.ForkExec("/proc/self/fd/"+strconv.Itoa(len(attr.Files)), args, &through)
}

// lookup finds the command's file by the PATH of the task. The working
// directory has been entered.
func lookup(c Container) (string, error) {
	name := c.Args[0]
	for i := range len(name) {
		if name[i] == '/' {
			if _, err := os.Stat(name); errors.Is(err, os.ErrNotExist) {
				return "", explain(c, name, syscall.ENOENT)
			}
			return name, nil
		}
	}
	path := ""
	for _, e := range c.Env {
		if len(e) > 5 && e[:5] == "PATH=" {
			path = e[5:]
		}
	}
	for rest := path; rest != ""; {
		at := 0
		for at < len(rest) && rest[at] != ':' {
			at++
		}
		dir := rest[:at]
		rest = rest[min(at+1, len(rest)):]
		if dir == "" {
			dir = "."
		}
		if info, err := os.Stat(dir + "/" + name); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return dir + "/" + name, nil
		}
	}
	return "", errors.New("exec " + strconv.Quote(name) + ": not found in the task's PATH (" + path +
		"); give a path relative to the working directory (./" + name + " in " + strconv.Quote(c.Dir) + ") or an absolute one")
}

// explain says what an error of exec means for whoever wrote the command.
func explain(c Container, path string, err error) error {
	exec := "exec " + strconv.Quote(c.Args[0]) + " in " + strconv.Quote(c.Dir) + ": "
	switch err {
	case syscall.ENOENT:
		if _, stat := os.Stat(path); stat == nil {
			return errors.New(exec + "the interpreter that the file names (its #! line or its loader) is not there")
		}
		return errors.New(exec + "no such file; build it, or correct the path (a relative one is relative to the working directory)")
	case syscall.EACCES, syscall.EPERM:
		if info, stat := os.Stat(path); stat == nil && (info.IsDir() || info.Mode()&0o111 == 0) {
			return errors.New(exec + "it is not an executable file; make it one (chmod 755)")
		}
		user := strconv.Itoa(os.Getuid()) + ":" + strconv.Itoa(os.Getgid())
		if c.Drop {
			user = strconv.Itoa(int(c.UID)) + ":" + strconv.Itoa(int(c.GID))
		}
		return errors.New(exec + "permission denied for user " + user +
			"; let others read and execute it (chmod 755), or name another user")
	case syscall.ENOEXEC:
		return errors.New(exec + "not a program of this machine, nor a script with a #! line")
	}
	return wrap(exec[:len(exec)-2], err)
}
