package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"plimsoll/engine/runtime"
	"plimsoll/engine/runtime/process/shim"
)

// followEvery is how often a log that is followed is looked at for more.
const followEvery = 50 * time.Millisecond

// Logs implements runtime.Logs.
func (r *Runtime) Logs(ctx context.Context, taskID, container string, follow bool) (io.ReadCloser, error) {
	if !validID(taskID) {
		return nil, fmt.Errorf("task %q: %w", taskID, fs.ErrNotExist)
	}
	kept, err := readRecord(r.dir(taskID))
	if err != nil {
		return nil, fmt.Errorf("task %q: it has no logs: %w", taskID, err)
	}
	names := slices.Sorted(slices.Values(kept.Containers))
	if container != "" {
		if !slices.Contains(names, container) {
			return nil, fmt.Errorf("container %q of task %q (it has %s): %w", container, taskID, strings.Join(names, ", "), fs.ErrNotExist)
		}
		names = []string{container}
	}
	logs := make([]io.ReadCloser, len(names))
	for i, name := range names {
		l := &logReader{r: r, task: taskID, path: filepath.Join(r.dir(taskID), shim.LogName(name)),
			older: filepath.Join(r.dir(taskID), shim.RotatedName(name))}
		logs[i] = l.stream(ctx, follow)
	}
	if len(logs) == 1 {
		return logs[0], nil
	}
	return runtime.JoinLogs(names, logs), nil
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

func (l *logReader) stream(ctx context.Context, follow bool) io.ReadCloser {
	ctx, cancel := context.WithCancel(ctx)
	out, in := io.Pipe()
	go func() {
		in.CloseWithError(l.copy(ctx, in, follow))
		cancel()
	}()
	return &logStream{PipeReader: out, cancel: cancel}
}

// logReader reads one container's output, the older part first.
type logReader struct {
	r           *Runtime
	task        string
	path, older string
}

func (l *logReader) copy(ctx context.Context, w io.Writer, follow bool) error {
	if err := copyFile(w, l.older); err != nil {
		return err
	}
	var f *os.File // nil until the container has printed something
	defer func() { f.Close() }()
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		over := !follow || l.over()
		if f == nil {
			var err error
			if f, err = os.Open(l.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		if err := drain(w, f); err != nil || over {
			return err
		}
		if next := l.rotated(f); next != nil {
			err := drain(w, f) // what came between the last read and the rotation
			f.Close()
			f = next
			if err != nil {
				return err
			}
			continue
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// drain copies what is left of a file, if there is one.
func drain(w io.Writer, f *os.File) error {
	if f == nil {
		return nil
	}
	_, err := io.Copy(w, f)
	return err
}

// over tells whether nothing more can come.
func (l *logReader) over() bool {
	if t := l.r.task(l.task); t != nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		return t.ended || t.abandoned
	}
	return true
}

// rotated gives the file that has taken the place of f, if one has.
func (l *logReader) rotated(f *os.File) *os.File {
	if f == nil {
		return nil
	}
	next, err := os.Open(l.path)
	if err != nil {
		return nil
	}
	a, errA := f.Stat()
	b, errB := next.Stat()
	if errA != nil || errB != nil || os.SameFile(a, b) {
		next.Close()
		return nil
	}
	return next
}

func copyFile(w io.Writer, path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}
