// Package shim is the small parent process of one task. It starts the task's
// containers as processes, outlives the engine, passes the stop signal on,
// keeps the exit codes and the output, and leaves nothing of the task behind
// when it ends. It must not know of tasks' placement, ports or of the engine.
//
// The shim is executed as
//
//	plimsoll shim --dir DIR
//
// which is cmd/plimsoll-shim where the program carries it, and else the engine's own
// binary: then the cost of starting that is paid for each task. Go initialises
// packages in the order of their import paths once their dependencies are
// done; this package takes over in its init, before those of the AWS SDK and
// others have run. Measured with the whole program (52.8 MB), start to exit, 500 times,
// 2 cores:
//
//	taking over in main                 p50 21 ms,  24 ms of CPU,  34 MB resident
//	taking over in init here            p50 2.2 ms, 2.3 ms of CPU, 10 MB resident
//	cmd/plimsoll-shim, from memory      p50 1.4 ms, 1.4 ms of CPU, 2.4 MB resident
//
// What is left of the difference is the runtime's, which reads the whole program's
// tables of functions and interfaces. The second line holds only while this package
// needs little: with "strings", "fmt", "runtime/debug" or "encoding/json" among its
// imports its init comes after those of half the program. Hence the plain code below;
// a test keeps the list of imports.
package shim

import (
	"io"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"plimsoll/engine/runtime/order"
)

// Command is the first argument that makes the binary a shim.
const Command = "shim"

// The files of a task's folder.
const (
	// LockFile is locked (flock) for as long as the shim lives. Its first line is
	// the engine's; then come the first State, after the line FirstState, and what
	// the shim complains about.
	LockFile  = "lock"
	StateFile = "state" // State, from its first change on
	ExitFile  = "exit"  // Exit: written when nothing of the task runs any more
)

// FirstState is the line before the first state in the lock file.
const FirstState = "state\n"

// The descriptors that a shim is given, beside standard error.
const (
	launchFD = 0 // a Launch can be read from it
	replyFD  = 1 // a Reply is written to it
	lockFD   = 3 // the lock file, locked; what is written to it is appended

	// ProgramFD is the shim's own program, if that is no file on a disk.
	ProgramFD = 4
)

// This init is the one in the project that acts. The package comment says why.
func init() {
	if len(os.Args) > 1 && os.Args[1] == Command {
		os.Exit(Main(os.Args[2:]))
	}
}

// LogName is the name of the file with a container's output. RotatedName is
// that of its older part.
func LogName(container string) string { return "container-" + container + ".log" }

// RotatedName is the name of the older part of a container's output.
func RotatedName(container string) string { return LogName(container) + ".1" }

// Main is the shim. It returns the exit status of the process: 0 when the
// task ended and its exit codes are written.
func Main(args []string) int {
	// Children are killed when the thread that made them ends, and have its
	// no_new_privs: one thread makes them all.
	runtime.LockOSThread()
	if len(args) != 2 || args[0] != "--dir" {
		complain("usage: plimsoll shim --dir DIR (the engine starts it, nobody else)")
		return 2
	}
	s := &shim{dir: args[1]}
	for fd := launchFD; fd <= ProgramFD; fd++ {
		syscall.CloseOnExec(fd)
	}
	err := s.detach()
	if err == nil {
		s.launch, err = s.readLaunch()
	}
	if err != nil {
		complain(err.Error())
		return 1
	}
	asked, died := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM)
	signal.Notify(died, syscall.SIGCHLD)
	// Notified, not ignored: what is ignored would stay ignored in the task.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGPIPE)
	if reason := s.start(); reason != "" {
		s.end(reason)
		s.reply(Reply{Failed: reason})
		return 0
	}
	s.reply(Reply{Started: true, Up: s.up})
	s.supervise(asked, died)
	if err := s.end(s.order.Failure()); err != nil {
		complain(err.Error())
		return 1
	}
	return 0
}

// shim is the state of the process.
type shim struct {
	dir    string
	launch Launch
	order  *order.Task
	all    []*process // by index of the container; nil until its first start
	checks []*check   // health checks that run
	said   State      // what the state file has
	up     bool       // all containers have been started
	null   int        // a descriptor of /dev/null
	ask    int        // where the Launch comes from
	answer int        // where the Reply goes
}

func (s *shim) readLaunch() (Launch, error) {
	f := os.NewFile(uintptr(s.ask), "launch")
	data, err := io.ReadAll(f)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return Launch{}, wrap("reading the launch", err)
	}
	return DecodeLaunch(data)
}

// detach makes the process independent of whoever started it.
func (s *shim) detach() (err error) {
	if s.null, err = syscall.Open(os.DevNull, syscall.O_RDWR|syscall.O_CLOEXEC, 0); err != nil {
		return wrap("opening "+os.DevNull, err)
	}
	if s.ask, err = dupCloseOnExec(launchFD); err != nil {
		return wrap("keeping the launch's descriptor", err)
	}
	if s.answer, err = dupCloseOnExec(replyFD); err != nil {
		return wrap("keeping the reply's descriptor", err)
	}
	for _, fd := range []int{launchFD, replyFD} {
		if err := syscall.Dup3(s.null, fd, syscall.O_CLOEXEC); err != nil {
			return wrap("putting "+os.DevNull+" in place", err)
		}
	}
	setName("plimsoll-shim")
	// Orphans of the task become children of this process.
	if err := prctl(prSetChildSubreaper, 1); err != nil {
		return wrap("becoming the reaper of the task", err)
	}
	if err := prctl(prSetNoNewPrivs, 1); err != nil {
		return wrap("giving up new privileges", err)
	}
	return nil
}

// start starts all containers that wait for no other, or none: then it gives the
// reason.
func (s *shim) start() (reason string) {
	s.said = State{Shim: identify(os.Getpid())}
	s.all = make([]*process, len(s.launch.Containers))
	var containers []order.Container
	for _, c := range s.launch.Containers {
		containers = append(containers, order.Container{
			Name: c.Name, Essential: c.Essential, DependsOn: c.DependsOn,
			StartTimeout: c.StartTimeout, StopTimeout: c.StopTimeout, Restart: c.Restart,
		})
	}
	if bad := order.Check(containers); bad != "" {
		return "TaskFailedToStart: " + bad
	}
	s.order = order.New(containers)
	s.act()
	if failure := s.order.Failure(); failure != "" {
		return failure
	}
	syscall.Chdir("/") // hold no folder of the task's
	if err := s.write(); err != nil {
		return "CannotStartContainerError: state of the task: " + err.Error()
	}
	return ""
}

// act does what the order of the containers asks for.
func (s *shim) act() {
	for actions := s.order.Do(time.Now()); len(actions) > 0; actions = s.order.Do(time.Now()) {
		for _, a := range actions {
			switch a.Verb {
			case order.Begin:
				s.begin(a.Container)
			case order.Ask:
				s.all[a.Container].signal(syscall.SIGTERM)
			case order.Kill:
				s.all[a.Container].signal(syscall.SIGKILL)
			}
		}
	}
	s.up = s.up || s.order.Up()
}

// begin starts a container, for the first time or again.
func (s *shim) begin(i int) {
	c := s.launch.Containers[i]
	before := s.all[i]
	p, err := s.spawn(c)
	if err != nil {
		reason := "CannotStartContainerError: container " + strconv.Quote(c.Name) + ": " + err.Error()
		if before == nil {
			s.all[i] = &process{c: c, reason: reason}
		} else {
			complain(reason)
		}
		s.order.Failed(i, reason)
		return
	}
	if before != nil {
		before.output.wait(time.Second) // its last lines come first
		p.exit = before.exit
	}
	s.all[i] = p
	now := time.Now()
	s.order.Began(i, now)
	if c.Health != nil {
		p.checker = order.NewChecker(*c.Health, now)
	}
}

// state is how the containers are.
func (s *shim) state() State {
	now := State{Shim: s.said.Shim, Up: s.up}
	for i, c := range s.launch.Containers {
		made := Process{Identity: Identity{Name: c.Name}, Phase: s.order.Phase(i), Restarts: s.order.Restarts(i)}
		if p := s.all[i]; p != nil {
			made.Exit = p.exit
			if p.pid != 0 { // else the number may be somebody else's
				made.Identity = p.identity
			}
			if p.checker != nil {
				made.Health = p.checker.Status()
			}
		}
		now.Containers = append(now.Containers, made)
	}
	return now
}

// write brings the state file up to date.
func (s *shim) write() error {
	now := s.state()
	if same(s.said, now) {
		return nil
	}
	var err error
	if len(s.said.Containers) == 0 {
		// A file is dear where many tasks start. Cut short, it is no state.
		err = writeAll(lockFD, append([]byte(FirstState), now.Encode()...))
	} else {
		err = replaceFile(s.dir+"/"+StateFile, now.Encode(), false)
	}
	if err != nil {
		return err
	}
	s.said = now
	return nil
}

func same(a, b State) bool {
	if a.Up != b.Up || len(a.Containers) != len(b.Containers) {
		return false
	}
	for i := range a.Containers {
		if a.Containers[i] != b.Containers[i] {
			return false
		}
	}
	return true
}

func (s *shim) reply(r Reply) {
	// The engine may be gone; the task lives on all the same.
	syscall.Write(s.answer, r.Encode())
	syscall.Close(s.answer)
}

// supervise returns when no container runs any more.
func (s *shim) supervise(asked, died <-chan os.Signal) {
	timer := time.NewTimer(time.Hour)
	for !s.order.Over() {
		if next, ok := s.next(); ok {
			timer.Reset(time.Until(next))
		} else {
			timer.Stop()
		}
		select {
		case <-asked:
			s.order.Stop()
		case <-died:
			s.reap()
		case <-timer.C:
			s.checkHealth(time.Now())
		}
		s.act()
		if err := s.write(); err != nil {
			complain("state of the task: " + err.Error())
		}
	}
}

// next is when there is something to do though nothing happens.
func (s *shim) next() (next time.Time, ok bool) {
	next, ok = s.order.Next()
	for _, at := range s.healthDue() {
		if !ok || at.Before(next) {
			next, ok = at, true
		}
	}
	return next, ok
}

// reap takes the exit codes of what has ended.
func (s *shim) reap() {
	for {
		pid := ended()
		if pid <= 0 {
			return
		}
		i := s.index(pid)
		if i >= 0 || s.isCheck(pid) {
			// What the container leaves in its group ends with it. Until the
			// leader is reaped, the group's number is nobody else's.
			syscall.Kill(-pid, syscall.SIGKILL)
		}
		var status syscall.WaitStatus
		if _, err := wait4(pid, &status, 0); err != nil {
			continue
		}
		if i < 0 {
			s.checked(pid, exitCode(status) == 0)
			continue
		}
		s.exited(i, exitCode(status))
	}
}

// exited takes the end of a container.
func (s *shim) exited(i, code int) {
	p := s.all[i]
	p.exit = &ContainerExit{Container: p.c.Name, Code: code, OOM: code != 0 && p.c.Cgroup.outOfMemory()}
	p.pid, p.checker = 0, nil
	s.forgetChecks(i)
	s.order.Exited(i, code, time.Now())
}

// index is the container of a process; -1 if it is none's.
func (s *shim) index(pid int) int {
	for i, p := range s.all {
		if p != nil && p.pid == pid {
			return i
		}
	}
	return -1
}

// end makes sure that nothing of the task runs, and writes what became of it.
func (s *shim) end(failed string) error {
	for _, p := range s.all {
		if p != nil && p.pid != 0 {
			p.signal(syscall.SIGKILL)
		}
	}
	for _, c := range s.launch.Containers {
		c.Cgroup.close()
	}
	sweep()
	exit := Exit{Failed: failed}
	for _, p := range s.all {
		switch {
		case p == nil:
		case p.exit != nil:
			exit.Containers = append(exit.Containers, *p.exit)
		case p.reason != "":
			exit.Containers = append(exit.Containers, ContainerExit{Container: p.c.Name, Never: true, Reason: p.reason})
		}
	}
	for _, p := range s.all {
		if p != nil && p.output != nil {
			p.output.wait(2 * time.Second)
		}
	}
	for _, c := range s.launch.Containers {
		c.Cgroup.Remove()
	}
	return replaceFile(s.dir+"/"+ExitFile, exit.Encode(), true)
}

func exitCode(status syscall.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

func complain(message string) {
	os.Stderr.WriteString("plimsoll shim: " + message + "\n")
}
