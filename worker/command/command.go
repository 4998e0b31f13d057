// Package command makes a worker.Handler of any command: it runs once for each
// message, has the body on its standard input and in a file, the attributes in
// its environment, and says by its exit status whether the message is done with.
// It must not know where messages come from.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"plimsoll/worker"
)

// BodyFile in an argument stands for the path of the file that has the body.
const BodyFile = "{body-file}"

// The environment of the command. AttributePrefix and SystemPrefix are followed
// by an attribute's name, in which whatever is no letter, digit or underscore is
// an underscore. Values that no environment can hold (with a zero byte, or longer
// than MaxValue) are left out, and that is logged.
const (
	EnvID           = "PLIMSOLL_MESSAGE_ID"
	EnvBodyFile     = "PLIMSOLL_MESSAGE_BODY_FILE"
	EnvReceives     = "PLIMSOLL_MESSAGE_RECEIVES"
	AttributePrefix = "PLIMSOLL_ATTRIBUTE_"
	SystemPrefix    = "PLIMSOLL_SYSTEM_"
	MaxValue        = 100_000 // bytes; Linux takes 128 KiB for one variable
)

// Options make a Handler. Args is required.
type Options struct {
	// Args are the command and its arguments.
	Args []string
	// Env is the environment that the message's is added to: that of this
	// process, without what lets the task release itself.
	Env []string
	// Out and Err take the command's output; files are handed to it as they are.
	Out, Err io.Writer
	// KillAfter is the time between SIGTERM and SIGKILL when a command has to
	// end. Default 10 s.
	KillAfter time.Duration
	// Log is told what is amiss; nil discards it.
	Log *slog.Logger
}

// ExitError is the error of a command that ended with another status than 0:
// 128+n after signal n.
type ExitError struct{ Status int }

func (e *ExitError) Error() string { return fmt.Sprintf("the command ended with status %d", e.Status) }

// New makes the handler. It fails if the command cannot be found.
func New(o Options) (worker.Handler, error) {
	if len(o.Args) == 0 || o.Args[0] == "" {
		return nil, errors.New("no command is given")
	}
	path, err := exec.LookPath(o.Args[0])
	if err != nil {
		return nil, fmt.Errorf("the command cannot be found: %w", err)
	}
	if o.KillAfter <= 0 {
		o.KillAfter = 10 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Err == o.Out {
		o.Out = shared(o.Out)
		o.Err = o.Out
	} else {
		o.Out, o.Err = shared(o.Out), shared(o.Err)
	}
	o.Env = slices.DeleteFunc(slices.Clone(o.Env), func(pair string) bool { return strings.HasPrefix(pair, "PLIMSOLL_RELEASE_") })
	return func(ctx context.Context, m worker.Message) error { return o.run(ctx, path, m) }, nil
}

// shared makes a writer fit for several commands at once; a file is already.
func shared(w io.Writer) io.Writer {
	if _, file := w.(*os.File); file || w == nil {
		return w
	}
	return &lockedWriter{to: w}
}

type lockedWriter struct {
	mu sync.Mutex
	to io.Writer
}

func (w *lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(p)
}

// run runs the command for one message.
func (o *Options) run(ctx context.Context, path string, m worker.Message) error {
	dir, err := os.MkdirTemp("", "plimsoll-message-")
	if err != nil {
		return err
	}
	defer func() {
		if err := os.RemoveAll(dir); err != nil {
			o.Log.Warn("a message's file cannot be removed", "error", err)
		}
	}()
	file := filepath.Join(dir, "body")
	if err := os.WriteFile(file, []byte(m.Body), 0o600); err != nil {
		return err
	}
	body, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }() // it was read only
	args := slices.Clone(o.Args)
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], BodyFile, file)
	}
	cmd := &exec.Cmd{
		Path: path, Args: args, Env: append(slices.Clone(o.Env), o.environ(m, file)...),
		Stdin: body, Stdout: o.Out, Stderr: o.Err, WaitDelay: time.Second,
		// A group of its own: a signal for this process is not the command's. And
		// should this process be killed, nobody would end the command.
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL},
	}
	// Pdeathsig is about the thread that starts the command, not the process.
	goruntime.LockOSThread()
	defer goruntime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	signals := make(chan struct{})
	go func() {
		defer close(signals)
		o.end(ctx, cmd.Process.Pid, ended)
	}()
	// Its group is swept before it is reaped: until then the number is its own.
	awaitExit(cmd.Process.Pid)
	close(ended)
	<-signals
	signalGroup(cmd.Process.Pid, syscall.SIGKILL)
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = &ExitError{Status: status(exit)}
	}
	return err
}

// end ends the command's group when ctx ends, unless it has ended before.
func (o *Options) end(ctx context.Context, pid int, ended <-chan struct{}) {
	select {
	case <-ended:
		return
	case <-ctx.Done():
	}
	signalGroup(pid, syscall.SIGTERM)
	timer := time.NewTimer(o.KillAfter)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
		signalGroup(pid, syscall.SIGKILL)
	}
}

func signalGroup(pid int, s syscall.Signal) {
	_ = syscall.Kill(-pid, s) // none is left: nothing to signal
}

// awaitExit returns when the process has ended, and leaves it to be reaped.
func awaitExit(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, syscall.EINTR) {
			return
		}
	}
}

// status is the exit status as a shell has it.
func status(e *exec.ExitError) int {
	if w, ok := e.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return 128 + int(w.Signal())
	}
	return e.ExitCode()
}

// environ is what the command is told of the message.
func (o *Options) environ(m worker.Message, file string) []string {
	env := []string{EnvID + "=" + m.ID, EnvBodyFile + "=" + file, EnvReceives + "=" + strconv.Itoa(m.Receives)}
	for _, set := range []struct {
		prefix string
		values map[string]string
	}{{AttributePrefix, m.Attributes}, {SystemPrefix, m.System}} {
		for _, name := range slices.Sorted(maps.Keys(set.values)) {
			value := set.values[name]
			if len(value) > MaxValue || strings.ContainsRune(value, 0) {
				o.Log.Warn("an attribute cannot be in the environment, and is left out", "message", m.ID, "attribute", name, "bytes", len(value))
				continue
			}
			env = append(env, set.prefix+strings.Map(wordRune, name)+"="+value)
		}
	}
	return env
}

func wordRune(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' {
		return r
	}
	return '_'
}
