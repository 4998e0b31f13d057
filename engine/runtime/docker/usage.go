package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"plimsoll/engine/runtime"
)

// Usage implements runtime.Meter by Docker's own statistics, one sample each.
func (r *Runtime) Usage(ctx context.Context, taskID string) ([]runtime.Usage, error) {
	t := r.task(taskID)
	if t == nil || r.broken != nil {
		return nil, fmt.Errorf("task %q: %w", taskID, errors.Join(fs.ErrNotExist, r.broken))
	}
	ids := t.runningIDs()
	if len(ids) == 0 {
		return nil, fmt.Errorf("task %q does not run: %w", taskID, fs.ErrNotExist)
	}
	var all []runtime.Usage
	for _, name := range slices.Sorted(maps.Keys(ids)) {
		s, err := r.sample(ctx, ids[name])
		if err != nil {
			return nil, fmt.Errorf("container %q of task %q: %w", name, taskID, err)
		}
		memory := s.MemoryStats.Usage
		for _, cache := range []string{"inactive_file", "total_inactive_file"} {
			if n := s.MemoryStats.Stats[cache]; n > 0 && n < memory {
				memory -= n
				break
			}
		}
		all = append(all, runtime.Usage{
			Container: name, At: s.Read, CPU: time.Duration(s.CPUStats.CPUUsage.TotalUsage),
			Memory: int64(memory), MemoryLimit: int64(s.MemoryStats.Limit), PIDs: int(s.PidsStats.Current),
		})
	}
	return all, nil
}

func (r *Runtime) sample(ctx context.Context, id string) (container.StatsResponse, error) {
	var s container.StatsResponse
	got, err := r.docker.ContainerStats(ctx, id, client.ContainerStatsOptions{})
	if err != nil {
		return s, err
	}
	err = json.NewDecoder(got.Body).Decode(&s)
	return s, errors.Join(err, got.Body.Close())
}
