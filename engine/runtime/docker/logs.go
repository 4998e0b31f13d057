package docker

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"

	"plimsoll/engine/runtime"
)

// logs gives what Docker has kept of a task's output.
func (r *Runtime) logs(ctx context.Context, taskID, name string, follow bool) (io.ReadCloser, error) {
	if r.broken != nil {
		return nil, r.broken
	}
	list, err := r.docker.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: r.filter(taskID)})
	if err != nil {
		return nil, err
	}
	ids := map[string]string{}
	var names []string
	for _, c := range list.Items {
		n := c.Labels[labelName]
		ids[n] = c.ID
		names = append(names, n)
	}
	slices.Sort(names)
	if taskID == "" || len(names) == 0 {
		return nil, fmt.Errorf("task %q: %w", taskID, fs.ErrNotExist)
	}
	if name != "" {
		if ids[name] == "" {
			return nil, fmt.Errorf("container %q of task %q (it has %s): %w", name, taskID, strings.Join(names, ", "), fs.ErrNotExist)
		}
		names = []string{name}
	}
	var logs []io.ReadCloser
	for _, n := range names {
		l, err := r.log(ctx, ids[n], follow)
		if err != nil {
			for _, l := range logs {
				l.Close()
			}
			return nil, err
		}
		logs = append(logs, l)
	}
	if len(logs) == 1 {
		return logs[0], nil
	}
	return runtime.JoinLogs(names, logs), nil
}

// log is the output of one container, out of the frames that Docker wraps it in.
func (r *Runtime) log(ctx context.Context, id string, follow bool) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancel(ctx)
	framed, err := r.docker.ContainerLogs(ctx, id, client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true, Follow: follow})
	if err != nil {
		cancel()
		return nil, err
	}
	out, in := io.Pipe()
	go func() {
		defer cancel()
		defer framed.Close()
		_, err := stdcopy.StdCopy(in, in, framed)
		in.CloseWithError(err)
	}()
	return &logStream{PipeReader: out, cancel: cancel}, nil
}

// logStream is a log being read; closing it ends the reading.
type logStream struct {
	*io.PipeReader
	cancel context.CancelFunc
}

func (s *logStream) Close() error {
	s.cancel()
	return s.PipeReader.Close()
}
