package api

import (
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"sync"

	"plimsoll"
)

const (
	// maxTail is the most lines of the past that ?tail= may ask for.
	maxTail = 10000
	// maxLine is where a line without an end is cut, in bytes.
	maxLine = 64 << 10
	// shortID is how much of a task's id goes before its lines.
	shortID = 8
)

// logs shows what a task printed, or all tasks of a service, each line then
// after the start of its task's id. With ?follow=1 it goes on, and takes in
// the tasks that the service starts meanwhile.
func (s *server) logs(w http.ResponseWriter, r *http.Request) {
	q, err := s.logQuery(r)
	if err != nil {
		refuse(w, err)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	slow := newSlowWriter(w, s.WriteTimeout)
	defer slow.end()
	out := &lineWriter{w: slow, cancel: cancel}
	if q.service != "" {
		s.copyService(ctx, out, q)
		return
	}
	err = s.copyTask(ctx, out, q, q.tasks[0].ID(), "")
	switch {
	case err == nil || out.used || ctx.Err() != nil:
	case errors.Is(err, fs.ErrNotExist):
		refuse(w, faultf(http.StatusNotFound, "nothing is kept of what task %q printed: %s", q.tasks[0].ID(), err))
	default:
		refuse(w, err)
	}
}

// logQuery is what logs was asked for: one task, or a service.
type logQuery struct {
	service   string
	tasks     []plimsoll.Task
	container string
	follow    bool
	tail      int // -1: all
}

func (s *server) logQuery(r *http.Request) (logQuery, error) {
	if s.Logs == nil {
		return logQuery{}, faultf(http.StatusNotImplemented, "this program keeps no logs of tasks; the platform does")
	}
	var q logQuery
	var err error
	if q.follow, err = flag(r, "follow"); err != nil {
		return q, err
	}
	if q.tail, err = number(r.URL.Query().Get("tail"), "tail", 0, maxTail, -1); err != nil {
		return q, err
	}
	q.container = r.URL.Query().Get("container")
	name, st := r.PathValue("name"), s.Loop.State()
	_, unknown := s.find(st, name)
	if unknown == nil {
		q.service, q.tasks = name, tasksToShow(st.Cluster, name)
		return q, nil
	}
	if q.tasks, err = taskOf(st.Cluster, name); err == nil && len(q.tasks) == 0 {
		err = faultf(http.StatusNotFound, "no task begins with %q, and there is %s", name, unknown)
	}
	return q, err
}

// tasksToShow are the live tasks of a service; if none is, the last that was.
func tasksToShow(c plimsoll.Cluster, service string) []plimsoll.Task {
	var out []plimsoll.Task
	var last plimsoll.Task
	for _, t := range c.Tasks {
		switch {
		case t.Service != service:
		case t.Live():
			out = append(out, t)
		case t.StoppedAt.After(last.StoppedAt):
			last = t
		}
	}
	if out == nil && last.ARN != "" {
		out = append(out, last)
	}
	return out
}

// copyService copies the tasks of a service side by side; without follow, one
// after the other.
func (s *server) copyService(ctx context.Context, out *lineWriter, q logQuery) {
	if !q.follow {
		for _, t := range q.tasks {
			_ = s.copyTask(ctx, out, q, t.ID(), prefix(t)) // one that printed nothing yet is no fault
		}
		return
	}
	_, _ = out.w.Write(nil) // the headers, so that a quiet service's reader knows that it is heard
	changed, cancel := s.Loop.Subscribe()
	defer cancel()
	var wait sync.WaitGroup
	defer wait.Wait()
	seen := map[string]bool{}
	for {
		for _, t := range q.tasks {
			if seen[t.ARN] || t.ContainerInstance == "" {
				continue // it has no output before it is placed
			}
			seen[t.ARN] = true
			wait.Go(func() { _ = s.copyTask(ctx, out, q, t.ID(), prefix(t)) })
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
			q.tasks = tasksToShow(s.Loop.State().Cluster, q.service)
		}
	}
}

func prefix(t plimsoll.Task) string {
	id := t.ID()
	return id[:min(len(id), shortID)] + " | "
}

// copyTask copies the output of one task, or the last lines of it and what
// comes after them.
func (s *server) copyTask(ctx context.Context, out *lineWriter, q logQuery, id, prefix string) error {
	var skip int64
	if q.tail >= 0 {
		past, err := s.Logs.Logs(ctx, id, q.container, false)
		if err != nil {
			return err
		}
		lines, size, err := lastLines(past, q.tail)
		_ = past.Close()
		if err != nil {
			return err
		}
		for _, text := range lines {
			out.line(prefix, text)
		}
		if !q.follow {
			return nil
		}
		skip = size
	}
	in, err := s.Logs.Logs(ctx, id, q.container, q.follow)
	if err != nil {
		return err
	}
	defer in.Close()
	if _, err := io.CopyN(io.Discard, in, skip); err != nil {
		return err
	}
	return eachLine(in, func(text string) error { return out.line(prefix, text) })
}

// lastLines gives the last n lines, and how many bytes were read in all.
func lastLines(r io.Reader, n int) ([]string, int64, error) {
	var ring []string
	var size int64
	err := eachLine(r, func(text string) error {
		size += int64(len(text))
		if ring = append(ring, text); len(ring) > n {
			ring = ring[1:]
		}
		return nil
	})
	return ring, size, err
}

// eachLine calls f with each line, its end included; a line over maxLine comes
// in pieces.
func eachLine(r io.Reader, f func(string) error) error {
	in := bufio.NewReaderSize(r, maxLine)
	for {
		text, err := in.ReadSlice('\n')
		if len(text) > 0 {
			if err := f(string(text)); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
}

// lineWriter lets the output of many tasks share one answer, whole line by
// whole line. When the client is gone it ends all of them.
type lineWriter struct {
	mu     sync.Mutex
	w      io.Writer
	cancel func()
	used   bool
}

func (w *lineWriter) line(prefix, text string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.used = true
	if prefix != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	_, err := io.WriteString(w.w, prefix+text)
	if err != nil {
		w.cancel()
	}
	return err
}
