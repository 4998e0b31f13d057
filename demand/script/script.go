// Package script reads a demand from a command of the user's: what it prints is
// the value. It must not know what the command does, and gives it nothing of
// Plimsoll's own environment.
package script

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"plimsoll/demand"
)

// The environment that every command starts with.
const (
	defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	defaultHome = "/"
)

// lingering is how long the output of a command that has ended may stay open.
const lingering = 200 * time.Millisecond

// maxOutput is the most that a command may print: a number needs less.
const maxOutput = 4 << 10

// Options make a Source. The keys in errors are those of the trigger.
type Options struct {
	// Command is the program and its arguments; no shell is in between.
	Command []string
	// Dir is the folder to run it in; empty is the present one.
	Dir string
	// Env is added to, or replaces, PATH and HOME, which are all that the
	// command gets.
	Env map[string]string
	// Timeout ends the command and all of its process group. Default 5 s.
	Timeout time.Duration
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Source runs a command for each reading.
type Source struct {
	o   Options
	env []string
}

var _ demand.Source = (*Source)(nil)

// New checks the options.
func New(o Options) (*Source, error) {
	if len(o.Command) == 0 || o.Command[0] == "" {
		return nil, fmt.Errorf(`script: command is missing: it must be a list of the program and its arguments, such as ["./depth", "--queue", "jobs"]`)
	}
	if o.Timeout < 0 {
		return nil, fmt.Errorf("script: timeout %q: it must be over 0", o.Timeout)
	}
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	env := map[string]string{"PATH": defaultPath, "HOME": defaultHome}
	maps.Copy(env, o.Env)
	s := &Source{o: o}
	for _, key := range slices.Sorted(maps.Keys(env)) {
		s.env = append(s.env, key+"="+env[key])
	}
	return s, nil
}

// Read runs the command. Its output has to be one number; a status other than 0,
// anything else on its standard output, or a time-out is an error.
func (s *Source) Read(ctx context.Context) (demand.Sample, error) {
	at := s.o.Now()
	output, err := s.run(ctx)
	if err != nil {
		return demand.Sample{}, fmt.Errorf("script %q: %w", strings.Join(s.o.Command, " "), err)
	}
	value, err := demand.ParseValue(output)
	if err != nil {
		return demand.Sample{}, fmt.Errorf("script %q: output %w", strings.Join(s.o.Command, " "), err)
	}
	return demand.Sample{Value: value, At: at, Detail: fmt.Sprintf("%s printed %s", s.o.Command[0], strings.TrimSpace(output))}, nil
}

func (s *Source) run(ctx context.Context) (string, error) {
	limited, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	cmd := exec.CommandContext(limited, s.o.Command[0], s.o.Command[1:]...)
	cmd.Dir, cmd.Env = s.o.Dir, s.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	killGroup := func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Cancel, cmd.WaitDelay = killGroup, lingering
	stdout, stderr := bounded{most: maxOutput}, bounded{most: maxOutput}
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case limited.Err() != nil:
		return "", fmt.Errorf("not done within %s: killed", s.o.Timeout)
	case errors.Is(err, exec.ErrWaitDelay):
		// Whoever holds the output is of the command's group, or has left it
		// on purpose and is then not ours to end.
		_ = killGroup()
		return "", errors.New("it ended and left a process behind that holds its output: killed")
	case err != nil:
		return "", fmt.Errorf("%w: %q", err, demand.Shorten(strings.TrimSpace(stderr.String())))
	case stdout.over:
		return "", fmt.Errorf("more than %d bytes of output, beginning with %q", maxOutput, demand.Shorten(stdout.String()))
	}
	return stdout.String(), nil
}

// bounded keeps the beginning of what is written to it. It takes the rest as
// well, so that the command neither waits nor gets SIGPIPE. The buffer is not
// embedded: its ReadFrom would go around the bound.
type bounded struct {
	kept bytes.Buffer
	most int
	over bool
}

func (b *bounded) Write(p []byte) (int, error) {
	room := min(len(p), b.most-b.kept.Len())
	b.over = b.over || room < len(p)
	b.kept.Write(p[:room])
	return len(p), nil
}

func (b *bounded) String() string { return b.kept.String() }
