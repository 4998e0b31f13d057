package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"plimsoll/engine/runtime"
	"plimsoll/engine/runtime/process/shim"
)

// keepStopped is for how long the folder of a task that has ended is kept if
// nobody asks to forget it: ECS keeps stopped containers as long.
const keepStopped = 3 * time.Hour

// Adopt implements runtime.Runtime. It returns when the ports of what was
// found are known; where each task is comes through the sink.
func (r *Runtime) Adopt(ctx context.Context, known []runtime.Spec) error {
	entries, err := os.ReadDir(r.o.Dir)
	if err != nil {
		return fmt.Errorf("process runtime: %w", err)
	}
	// A known task may be over before the strays are looked at, and be asked for
	// again: it is never one of them.
	named := make(map[string]bool, len(known))
	for _, spec := range known {
		named[spec.TaskID] = true
		r.adopt(newTask(r, spec))
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !e.IsDir() || !validID(e.Name()) || named[e.Name()] {
			continue
		}
		r.adoptStray(e.Name())
	}
	return nil
}

// adopt takes up a task that the engine knows.
func (r *Runtime) adopt(t *task) {
	t.adopted = true
	var err error
	if t.kept, err = readRecord(t.dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.o.Log.Warn("the record of a task cannot be read", "task", t.spec.TaskID, "error", err)
	}
	for _, b := range t.kept.Bindings {
		r.ports.adopt(b.Address, b.HostPort)
	}
	r.mu.Lock()
	r.tasks[t.spec.TaskID] = t
	r.mu.Unlock()
	r.spawn(t.resume)
}

// adoptStray ends a task that no spec names. The folder of one that has ended
// is kept for a while, for its logs.
func (r *Runtime) adoptStray(id string) {
	t := newTask(r, runtime.Spec{TaskID: id})
	t.silent, t.stopping = true, true
	if lock, err := takeLock(t.dir); err == nil {
		info, err := os.Stat(filepath.Join(t.dir, shim.ExitFile))
		lock.Close()
		if err == nil && r.o.Now().Sub(info.ModTime()) < keepStopped {
			return
		}
	}
	r.o.Log.Info("a task that the engine does not know is ended", "task", id)
	r.adopt(t)
}

// resume finds out where a task is: its shim alive, ended, or never there.
func (t *task) resume() {
	for pause := time.Millisecond; ; pause = min(2*pause, time.Second) {
		if _, err := os.Stat(t.dir); errors.Is(err, fs.ErrNotExist) {
			t.conclude(runtime.Event{Kind: runtime.StartFailed, Reason: "CannotStartContainerError: no trace of the task was found when the engine came back"})
			return
		}
		lock, err := takeLock(t.dir)
		if err == nil {
			t.finish()
			lock.Close()
			return
		}
		if !errors.Is(err, errHeld) {
			t.r.o.Log.Warn("a task cannot be adopted yet", "task", t.spec.TaskID, "error", err)
		}
		if h := t.find(); h != nil {
			t.follow()
			t.run(h)
			t.watch()
			return
		}
		// The shim is starting, or has just ended. It is not waited for on a
		// descriptor, because who it is stands in the file that is awaited.
		if t.r.isClosed() {
			return
		}
		time.Sleep(pause)
	}
}

// find gets hold of the task's shim; nil if it has written no state yet or
// has ended.
func (t *task) find() *handle {
	state, err := shim.ReadState(t.dir)
	if err != nil {
		return nil
	}
	h, err := openHandle(state.Shim)
	if err != nil {
		if !errors.Is(err, errGone) {
			t.r.o.Log.Warn("a task cannot be watched", "task", t.spec.TaskID, "error", err)
		}
		return nil
	}
	return h
}
