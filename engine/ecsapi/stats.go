package ecsapi

import (
	"errors"
	"io/fs"
	"net/http"
	goruntime "runtime"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"plimsoll/engine"
	"plimsoll/engine/runtime"
)

// containerStats is what the stats endpoints tell of a container, in the words
// of Docker's API, as far as every runtime knows it.
type containerStats struct {
	ID          string      `json:"id"`
	Name        string      `json:"name"`
	Read        time.Time   `json:"read"`
	CPUStats    cpuStats    `json:"cpu_stats"`
	MemoryStats memoryStats `json:"memory_stats"`
	PIDsStats   struct {
		Current int `json:"current"`
	} `json:"pids_stats"`
}

type cpuStats struct {
	Usage struct {
		Total int64 `json:"total_usage"` // ns
	} `json:"cpu_usage"`
	Online int `json:"online_cpus"`
}

type memoryStats struct {
	Usage int64 `json:"usage"`
	Limit int64 `json:"limit,omitempty"`
}

// Measure gives the agent what the tasks use; without it the stats endpoints
// answer 404.
func (a *Agent) Measure(m runtime.Meter) { a.meter.Store(&m) }

// stats answers for the whole task, by the containers' ids, or for its first
// essential container.
func (a *Agent) stats(whole bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var task *engine.Task
		main := ""
		found := a.taskAt(r, func(v engine.View, t *engine.Task) {
			task = t
			if c, ok := a.container(v, t).(containerMetadata); ok {
				main = c.Name
			}
		})
		meter := a.meter.Load()
		if !found || meter == nil {
			writeJSON(w, http.StatusNotFound, "unable to get the stats: no such task, or nothing measures it")
			return
		}
		used, err := (*meter).Usage(r.Context(), task.ID)
		if errors.Is(err, fs.ErrNotExist) {
			writeJSON(w, http.StatusNotFound, "unable to get the stats: "+err.Error())
			return
		}
		if err != nil {
			writeJSON(w, http.StatusInternalServerError, "unable to get the stats: "+err.Error())
			return
		}
		all := map[string]containerStats{}
		for _, u := range used {
			s := containerStats{ID: runtimeID(task, u.Container), Name: u.Container, Read: u.At}
			s.CPUStats.Usage.Total, s.CPUStats.Online = u.CPU.Nanoseconds(), goruntime.NumCPU()
			s.MemoryStats.Usage, s.MemoryStats.Limit, s.PIDsStats.Current = u.Memory, u.MemoryLimit, u.PIDs
			if !whole && u.Container == main {
				writeJSON(w, http.StatusOK, s)
				return
			}
			all[s.ID] = s
		}
		if !whole {
			writeJSON(w, http.StatusNotFound, "unable to get the stats: the container does not run")
			return
		}
		writeJSON(w, http.StatusOK, all)
	}
}

// The agent's own limits, for each task.
const (
	requestsPerSecond = 40
	requestBurst      = 60
	// limitersMax bounds the limiters: beyond it all begin anew.
	limitersMax = 10_000
)

// requestLimits bound the requests of each task.
type requestLimits struct {
	mu  sync.Mutex
	all map[string]*rate.Limiter // by task address
}

func (l *requestLimits) allow(address string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil || len(l.all) >= limitersMax {
		l.all = map[string]*rate.Limiter{}
	}
	one := l.all[address]
	if one == nil {
		one = rate.NewLimiter(requestsPerSecond, requestBurst)
		l.all[address] = one
	}
	return one.AllowN(now, 1)
}
