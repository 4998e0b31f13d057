// Package process is the runtime that runs the containers of a task as plain
// processes of this machine (Linux), with nothing installed: each task has a
// small parent process of its own, the shim, which outlives the engine, keeps
// the exit codes and the output, and is found again by the next engine. It
// must not know of services, of placement or of the ECS API.
//
// A task has a folder under Options.Dir:
//
//	lock               locked by the engine before it starts the shim, and by
//	                   the shim for as long as it lives: whoever gets the lock
//	                   knows that nothing of the task is being started. It has
//	                   the engine's record (the host ports, the cgroups, the
//	                   machine's boot), the first state of the processes, with
//	                   their start times, and what the shim complained about
//	state              every later state
//	exit               the exit codes; nothing of the task runs any more
//	container-NAME.log what the container printed (and .1, the older part)
package process

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	goruntime "runtime"
	"sync"
	"time"

	"plimsoll/engine/runtime"
	"plimsoll/engine/runtime/process/shim"
)

// Defaults of Options.
const (
	DefaultUser      = "nobody"
	DefaultFirstPort = 20000
	DefaultLastPort  = 32767 // the kernel's own ephemeral ports begin after it
	DefaultCgroup    = "plimsoll"
	DefaultLogLimit  = 10 << 20

	// startTimeout bounds how long a shim may take to answer.
	startTimeout = 3 * time.Minute
)

// Options tune a Runtime. Dir is required.
type Options struct {
	// Dir is the folder of the tasks' folders. It is made if it is absent.
	Dir string
	// Shim is the command that runs ShimMain; "--dir DIR" is added to it. nil
	// is the one that Program carries, and else this very executable, with the
	// argument "shim".
	Shim []string
	// Program is the file that may carry the shim (cmd/plimsoll-shim). Empty: this
	// very executable.
	Program string
	// DefaultUser is whom a container that names no user runs as when the
	// engine runs as root: a name, "uid" or "uid:gid". Empty: nobody.
	DefaultUser string
	// FirstPort and LastPort are the range of the dynamic host ports, both
	// included. 0: the defaults. With which of them it begins is by Dir.
	FirstPort, LastPort int
	// Ports are those of the runtimes that run beside this one, whose range
	// counts then; nil: this one is alone.
	Ports *Ports
	// Cgroup is the name of the cgroup above all tasks' cgroups. Empty:
	// "plimsoll". NoCgroups goes without limits.
	Cgroup    string
	NoCgroups bool
	// LogLimit is how many bytes of a container's output are kept in each of
	// two files. 0: 10 MiB.
	LogLimit int64
	// Starts is how many tasks are started at the same time; the others wait
	// in the order in which they came. 0: twice the number of CPUs.
	Starts int
	// Now is the clock of the events. nil: time.Now.
	Now func() time.Time
	// Log is told of what the runtime goes without. nil discards.
	Log *slog.Logger
}

// Runtime runs tasks as processes. It is a runtime.Runtime, runtime.Logs and
// runtime.Cleaner.
type Runtime struct {
	o       Options
	sink    runtime.Sink
	user    user // the default
	root    bool
	boot    string
	ports   *Ports
	cgroups *cgroups
	parent  parent // of the tasks
	probes  *prober

	starts *runtime.Queue
	states *stateWatch

	mu      sync.Mutex
	tasks   map[string]*task
	closed  bool
	workers sync.WaitGroup // everything that may call the sink
}

// New makes a runtime whose events go to sink. It starts nothing by itself:
// Adopt is to be called next.
func New(o Options, sink runtime.Sink) (*Runtime, error) {
	if o.Dir == "" {
		return nil, errors.New("process runtime: no folder for the tasks is given")
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("process runtime: %w", err)
	}
	o.Dir = dir
	defaults(&o)
	if o.FirstPort < 1 || o.LastPort > 65535 || o.FirstPort > o.LastPort {
		return nil, fmt.Errorf("process runtime: port range %d-%d: two ports from 1 to 65535 are allowed, the lower one first", o.FirstPort, o.LastPort)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("process runtime: %w", err)
	}
	r := &Runtime{
		o: o, sink: sink, root: os.Geteuid() == 0, boot: bootID(),
		ports: o.Ports, tasks: map[string]*task{}, starts: runtime.NewQueue(o.Starts),
	}
	if r.ports == nil {
		r.ports = NewPorts(o.FirstPort, o.LastPort, o.Dir)
	}
	if r.root {
		if r.user, err = lookupUser(o.DefaultUser); err != nil {
			return nil, fmt.Errorf("process runtime: default user: %w", err)
		}
	}
	r.cgroups = newCgroups(o)
	r.parent = newParent(o)
	r.probes = newProber(r)
	r.states = newStateWatch(r)
	return r, nil
}

func defaults(o *Options) {
	if o.Program == "" {
		o.Program = ownProgram
	}
	if o.DefaultUser == "" {
		o.DefaultUser = DefaultUser
	}
	if o.FirstPort == 0 && o.LastPort == 0 {
		o.FirstPort, o.LastPort = DefaultFirstPort, DefaultLastPort
	}
	if o.Cgroup == "" {
		o.Cgroup = DefaultCgroup
	}
	if o.LogLimit <= 0 {
		o.LogLimit = DefaultLogLimit
	}
	if o.Starts <= 0 {
		o.Starts = 2 * goruntime.NumCPU()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

// Abilities are what this runtime can do for a task: its containers are processes
// among the others of the machine, in its network and with its files.
func Abilities() runtime.Abilities {
	return runtime.Abilities{Runtime: "process", Can: map[runtime.Ability]bool{
		runtime.HostNetwork: true, runtime.HostPID: true, runtime.HostIPC: true,
	}}
}

// ShimMain runs the shim with the arguments after "shim" and returns the exit
// status of the process. The engine's main calls it before anything else when
// its first argument is "shim". (Importing this package is enough, in fact:
// see package shim.)
func ShimMain(args []string) int { return shim.Main(args) }

// Start implements runtime.Runtime.
func (r *Runtime) Start(spec runtime.Spec) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || r.tasks[spec.TaskID] != nil {
		return
	}
	t := newTask(r, spec)
	r.tasks[spec.TaskID] = t
	r.starts.Put(t.launch)
}

// Stop implements runtime.Runtime.
func (r *Runtime) Stop(taskID string) {
	if t := r.task(taskID); t != nil {
		t.stop()
	}
}

// Forget implements runtime.Cleaner: the folder of an ended task is removed.
// A task that still runs is forgotten when it ends.
func (r *Runtime) Forget(taskID string) {
	if !validID(taskID) {
		return
	}
	if t := r.task(taskID); t != nil {
		if !t.forget() {
			return
		}
		r.drop(t)
		return
	}
	// One that an earlier engine ran. What still runs is a stray's affair.
	dir := r.dir(taskID)
	if lock, err := takeLock(dir); err == nil {
		os.RemoveAll(dir)
		lock.Close()
	}
}

// drop removes an ended task with all that is kept of it.
func (r *Runtime) drop(t *task) {
	r.mu.Lock()
	delete(r.tasks, t.spec.TaskID)
	r.mu.Unlock()
	if err := os.RemoveAll(t.dir); err != nil {
		r.o.Log.Warn("the folder of an ended task cannot be removed", "task", t.spec.TaskID, "error", err)
	}
}

// Close ends the watching. The tasks run on; a new Runtime over the same
// folder adopts them. No event comes after it.
func (r *Runtime) Close() error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil
	}
	r.closed = true
	tasks := make([]*task, 0, len(r.tasks))
	for _, t := range r.tasks {
		tasks = append(tasks, t)
	}
	r.mu.Unlock()
	r.starts.Close()
	r.probes.close()
	r.states.close()
	for _, t := range tasks {
		t.abandon()
	}
	r.starts.Wait()
	r.workers.Wait()
	r.cgroups.close()
	r.parent.close()
	return nil
}

func (r *Runtime) task(id string) *task {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tasks[id]
}

// spawn runs f unless the runtime is closed.
func (r *Runtime) spawn(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.workers.Go(f)
	}
}

func (r *Runtime) isClosed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed
}

func (r *Runtime) dir(taskID string) string { return filepath.Join(r.o.Dir, taskID) }

// validID tells whether a task or container name can be a file's name.
func validID(id string) bool {
	if id == "" || len(id) > 128 || id[0] == '.' {
		return false
	}
	for _, c := range []byte(id) {
		ok := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.'
		if !ok {
			return false
		}
	}
	return true
}
