package shim

import (
	"errors"
	"strconv"
	"time"

	"plimsoll/engine/runtime/order"
)

// Launch is what a shim is to start.
type Launch struct {
	Containers []Container
}

// Container is one process to be started, with all that there is to know.
type Container struct {
	Name string
	// Args is the command; the first is looked up in the PATH of Env unless
	// it has a slash.
	Args []string
	Env  []string
	// Dir is the working directory; what is relative in Args is relative to it.
	Dir string
	// Drop tells to run as UID and GID with no supplementary groups.
	Drop     bool
	UID, GID uint32
	// StopTimeout is the time from SIGTERM to SIGKILL.
	StopTimeout  time.Duration
	Essential    bool
	DependsOn    []order.Dependency
	StartTimeout time.Duration
	Restart      *order.Restart
	// Health is the health check; its Command is a program with its arguments.
	Health *order.Health
	Limits []Limit
	// LogLimit is how many bytes of output are kept in each of two files.
	LogLimit int64
	Cgroup   Cgroup
}

// Limit bounds a resource of a container's processes (setrlimit).
type Limit struct {
	Name       string
	Resource   int
	Soft, Hard uint64
}

// Reply is what a shim answers to the launch.
type Reply struct {
	Started bool
	// Up tells that all containers have been started. If not, the rest is in the
	// state file, as it comes.
	Up     bool
	Failed string // why nothing of the task runs
}

// State says which processes a task consists of, and how they are.
type State struct {
	Shim Identity
	// Up tells that all containers have been started.
	Up         bool
	Containers []Process
}

// Process is a container: its process if it runs, and what has become of it.
type Process struct {
	Identity
	Phase    order.Phase
	Health   string
	Restarts int
	// Exit is the end of its last run; nil if none has ended.
	Exit *ContainerExit
}

// Identity names a process for ever: a pid alone may be somebody else's later.
type Identity struct {
	Name  string
	PID   int
	Start uint64 // clock ticks since boot
}

// Exit is how a task ended. Failed is why it never ran.
type Exit struct {
	Failed     string
	Containers []ContainerExit
}

// ContainerExit is how a container ended: 128+n after signal n. Never is one
// that could not be started, for that Reason.
type ContainerExit struct {
	Container string
	Code      int
	OOM       bool
	Never     bool
	Reason    string
}

// The files and messages are lines of a key and a quoted value, closed by the
// line "end": a message that was cut short has none.
type lines []byte

func (l *lines) text(key, value string) {
	*l = append(append(*l, key...), ' ')
	*l = strconv.AppendQuote(*l, value)
	*l = append(*l, '\n')
}

func (l *lines) number(key string, n int64) { l.text(key, strconv.FormatInt(n, 10)) }

func (l *lines) flag(key string, set bool) {
	if set {
		l.text(key, "true")
	}
}

func (l *lines) end() []byte { return append(*l, "end\n"...) }

var errCut = errors.New("the message was cut short")

// decode calls f for each line.
func decode(data []byte, f func(key, value string) error) error {
	for len(data) > 0 {
		at := 0
		for at < len(data) && data[at] != '\n' {
			at++
		}
		if at == len(data) {
			return errCut
		}
		line := string(data[:at])
		data = data[at+1:]
		if line == "end" {
			return nil
		}
		space := 0
		for space < len(line) && line[space] != ' ' {
			space++
		}
		if space == len(line) {
			return errors.New("no value in the line " + strconv.Quote(line))
		}
		value, err := strconv.Unquote(line[space+1:])
		if err == nil {
			err = f(line[:space], value)
		}
		if err != nil {
			return wrap("line "+strconv.Quote(line), err)
		}
	}
	return errCut
}

// Encode gives the launch as bytes.
func (l Launch) Encode() []byte {
	var w lines
	for _, c := range l.Containers {
		w.text("container", c.Name)
		for _, a := range c.Args {
			w.text("arg", a)
		}
		for _, e := range c.Env {
			w.text("env", e)
		}
		w.text("dir", c.Dir)
		w.flag("drop", c.Drop)
		w.number("uid", int64(c.UID))
		w.number("gid", int64(c.GID))
		w.number("stop-timeout", int64(c.StopTimeout))
		w.flag("essential", c.Essential)
		w.number("log-limit", c.LogLimit)
		for _, d := range c.DependsOn {
			w.text("depends-on", d.Condition+" "+d.Container)
		}
		w.number("start-timeout", int64(c.StartTimeout))
		w.restart(c.Restart)
		w.health(c.Health)
		for _, limit := range c.Limits {
			w.text("limit", limit.Name)
			w.number("limit-resource", int64(limit.Resource))
			w.text("limit-soft", strconv.FormatUint(limit.Soft, 10))
			w.text("limit-hard", strconv.FormatUint(limit.Hard, 10))
		}
		w.flag("cgroup2", c.Cgroup.Unified)
		for _, p := range c.Cgroup.Paths {
			w.text("cgroup", p)
		}
		for _, p := range c.Cgroup.Home {
			w.text("cgroup-home", p)
		}
	}
	return w.end()
}

// DecodeLaunch is the reverse of Launch.Encode.
func DecodeLaunch(data []byte) (Launch, error) {
	var l Launch
	var none Container
	err := decode(data, func(key, value string) (err error) {
		c := &none
		if n := len(l.Containers); n > 0 {
			c = &l.Containers[n-1]
		}
		var n int64
		switch key {
		case "container":
			l.Containers = append(l.Containers, Container{Name: value})
		case "arg":
			c.Args = append(c.Args, value)
		case "env":
			c.Env = append(c.Env, value)
		case "dir":
			c.Dir = value
		case "drop":
			c.Drop = true
		case "uid":
			n, err = strconv.ParseInt(value, 10, 64)
			c.UID = uint32(n)
		case "gid":
			n, err = strconv.ParseInt(value, 10, 64)
			c.GID = uint32(n)
		case "stop-timeout":
			n, err = strconv.ParseInt(value, 10, 64)
			c.StopTimeout = time.Duration(n)
		case "essential":
			c.Essential = true
		case "log-limit":
			c.LogLimit, err = strconv.ParseInt(value, 10, 64)
		case "cgroup2":
			c.Cgroup.Unified = true
		case "cgroup":
			c.Cgroup.Paths = append(c.Cgroup.Paths, value)
		case "cgroup-home":
			c.Cgroup.Home = append(c.Cgroup.Home, value)
		default:
			err = c.decodeOrder(key, value)
		}
		return err
	})
	if err == nil && len(l.Containers) == 0 {
		err = errors.New("no containers")
	}
	if err != nil {
		return Launch{}, wrap("launch", err)
	}
	return l, nil
}

// Encode gives the reply as bytes.
func (r Reply) Encode() []byte {
	var w lines
	w.flag("started", r.Started)
	w.flag("up", r.Up)
	if r.Failed != "" {
		w.text("failed", r.Failed)
	}
	return w.end()
}

// DecodeReply is the reverse of Reply.Encode. An error says that the shim
// ended before it could answer.
func DecodeReply(data []byte) (Reply, error) {
	var r Reply
	err := decode(data, func(key, value string) error {
		switch key {
		case "started":
			r.Started = true
		case "up":
			r.Up = true
		case "failed":
			r.Failed = value
		}
		return nil
	})
	return r, err
}

// Encode gives the exit as bytes.
func (e Exit) Encode() []byte {
	var w lines
	if e.Failed != "" {
		w.text("failed", e.Failed)
	}
	for _, c := range e.Containers {
		w.text("container", c.Container)
		w.number("code", int64(c.Code))
		w.flag("oom", c.OOM)
		w.flag("never", c.Never)
		if c.Reason != "" {
			w.text("reason", c.Reason)
		}
	}
	return w.end()
}

// DecodeExit is the reverse of Exit.Encode.
func DecodeExit(data []byte) (Exit, error) {
	var e Exit
	err := decode(data, func(key, value string) (err error) {
		switch {
		case key == "failed":
			e.Failed = value
		case key == "container":
			e.Containers = append(e.Containers, ContainerExit{Container: value})
		case len(e.Containers) == 0:
			return errors.New("no container before it")
		case key == "code":
			e.Containers[len(e.Containers)-1].Code, err = strconv.Atoi(value)
		case key == "oom":
			e.Containers[len(e.Containers)-1].OOM = true
		case key == "never":
			e.Containers[len(e.Containers)-1].Never = true
		case key == "reason":
			e.Containers[len(e.Containers)-1].Reason = value
		}
		return err
	})
	if err != nil {
		return Exit{}, wrap("exit", err)
	}
	return e, nil
}
