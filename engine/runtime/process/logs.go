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
	names, err := logNames(r.dir(taskID))
	if err != nil {
		return nil, fmt.Errorf("task %q: %w", taskID, err)
	}
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

// logNames gives the containers that have a log, sorted.
func logNames(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	prefix, suffix, _ := strings.Cut(shim.LogName("\x00"), "\x00")
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutPrefix(e.Name(), prefix); ok {
			if name, ok = strings.CutSuffix(name, suffix); ok {
				names = append(names, name)
			}
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("it has no logs: %w", fs.ErrNotExist)
	}
	return names, nil
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
	f, err := os.Open(l.path)
	if err != nil {
		return err
	}
	defer func() { f.Close() }()
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		over := !follow || l.over()
		if _, err := io.Copy(w, f); err != nil {
			return err
		}
		if over {
			return nil
		}
		if next := l.rotated(f); next != nil {
			_, err := io.Copy(w, f) // what came between the last read and the rotation
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
