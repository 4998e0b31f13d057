package api

import (
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"plimsoll"
	"plimsoll/control"
	"plimsoll/router"
)

// maxLines is the most decisions or events in one answer.
const maxLines = 1000

// status tells what runs here and how it fares.
func (s *server) status(w http.ResponseWriter, _ *http.Request) {
	st := s.Loop.State()
	urls := s.URLs
	if urls == nil {
		urls = map[string]string{}
	}
	reply(w, http.StatusOK, struct {
		Version string            `json:"version"`
		Run     string            `json:"run"`
		Cluster string            `json:"cluster"`
		Step    uint64            `json:"step"`
		At      time.Time         `json:"at,omitzero"`
		TookMS  float64           `json:"tookMs"`
		Problem string            `json:"problem"`
		URLs    map[string]string `json:"urls"`
	}{s.Version, s.Run, st.Cluster.Name, st.Step, st.At, float64(st.Took.Microseconds()) / 1000, st.Problem, urls})
}

func (s *server) services(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, map[string]any{"services": s.serviceViews(s.Loop.State())})
}

// find gives the service of that name, or the fault that names the known ones.
func (s *server) find(st control.State, name string) (ServiceView, error) {
	views := s.serviceViews(st)
	var names []string
	for _, v := range views {
		if v.Name == name {
			return v, nil
		}
		names = append(names, strconv.Quote(v.Name))
	}
	if names == nil {
		return ServiceView{}, faultf(http.StatusNotFound, "no service %q: the cluster has none", name)
	}
	return ServiceView{}, faultf(http.StatusNotFound, "no service %q; the services are %s", name, strings.Join(names, ", "))
}

// service is all that explains one service's count.
func (s *server) service(w http.ResponseWriter, r *http.Request) {
	st := s.Loop.State()
	view, err := s.find(st, r.PathValue("name"))
	if err != nil {
		refuse(w, err)
		return
	}
	tasks := slices.DeleteFunc(live(s.taskViews(st.Cluster)), func(t TaskView) bool { return t.Service != view.Name })
	decisions := slices.DeleteFunc(slices.Clone(s.Loop.Decisions(0)), func(d control.Decision) bool { return d.Service != view.Name })
	reply(w, http.StatusOK, struct {
		ServiceView
		Step      uint64             `json:"step"`
		At        time.Time          `json:"at,omitzero"`
		Problem   string             `json:"problem"`
		Router    *RouterView        `json:"router,omitempty"`
		Tasks     []TaskView         `json:"tasks"`
		Decisions []control.Decision `json:"decisions"`
	}{view, st.Step, st.At, st.Problem, s.routerView(view), tasks, lastOf(decisions, 10)})
}

// RouterView is what the router measured of a service. Latencies are in
// milliseconds.
type RouterView struct {
	InFlight          int     `json:"inFlight"`
	Held              int     `json:"held"`
	Concurrency       float64 `json:"concurrency"`
	RequestsPerSecond float64 `json:"requestsPerSecond"`
	LatencyP50        float64 `json:"latencyP50Ms"`
	LatencyP99        float64 `json:"latencyP99Ms"`
	Requests          uint64  `json:"requests"`
	Errors            uint64  `json:"errors"`

	Targets []router.TargetState `json:"targets"`
	// Routes are those that have had a request.
	Routes []router.RouteState `json:"routes"`
}

func (s *server) routerView(v ServiceView) *RouterView {
	if s.Router == nil || v.URL == "" {
		return nil
	}
	st := s.Router.Demand(v.Name)
	ms := func(d time.Duration) float64 { return math.Round(float64(d.Microseconds())) / 1000 }
	return &RouterView{
		InFlight: st.InFlight, Held: st.Held, Concurrency: st.Concurrency, RequestsPerSecond: st.RequestsPerSecond,
		LatencyP50: ms(st.LatencyP50), LatencyP99: ms(st.LatencyP99), Requests: st.Requests, Errors: st.Errors,
		Targets: lastOf(s.Router.Targets(v.Name), math.MaxInt),
		Routes: slices.DeleteFunc(s.Router.Routes(), func(r router.RouteState) bool {
			name, _, _ := strings.Cut(r.Service, ":") // its further ports are its own
			return name != v.Name
		}),
	}
}

func (s *server) hosts(w http.ResponseWriter, _ *http.Request) {
	c := s.Loop.State().Cluster
	reply(w, http.StatusOK, map[string]any{"hosts": s.hostViews(c, taskViews(c))})
}

// tasks lists the live tasks, of one service with ?service=, and the stopped
// ones too with ?all=1.
func (s *server) tasks(w http.ResponseWriter, r *http.Request) {
	st := s.Loop.State()
	tasks := s.taskViews(st.Cluster)
	all, err := flag(r, "all")
	if err != nil {
		refuse(w, err)
		return
	}
	if !all {
		tasks = live(tasks)
	}
	if name := r.URL.Query().Get("service"); name != "" {
		if _, err := s.find(st, name); err != nil {
			refuse(w, err)
			return
		}
		tasks = slices.DeleteFunc(tasks, func(t TaskView) bool { return t.Service != name })
	}
	reply(w, http.StatusOK, map[string]any{"tasks": tasks})
}

// events lists what was seen, the oldest first: the last ?limit= of those
// after ?since=.
func (s *server) events(w http.ResponseWriter, r *http.Request) {
	since, limit, err := window(r)
	if err != nil {
		refuse(w, err)
		return
	}
	reply(w, http.StatusOK, map[string]any{"events": lastOf(s.Loop.Events(since), limit)})
}

// decisions lists what was decided, as events does, for one service with
// ?service=.
func (s *server) decisions(w http.ResponseWriter, r *http.Request) {
	since, limit, err := window(r)
	if err != nil {
		refuse(w, err)
		return
	}
	list := s.Loop.Decisions(since)
	if name := r.URL.Query().Get("service"); name != "" {
		if _, err := s.find(s.Loop.State(), name); err != nil {
			refuse(w, err)
			return
		}
		list = slices.DeleteFunc(slices.Clone(list), func(d control.Decision) bool { return d.Service != name })
	}
	reply(w, http.StatusOK, map[string]any{"decisions": lastOf(list, limit)})
}

func (s *server) history(w http.ResponseWriter, r *http.Request) {
	view, err := s.find(s.Loop.State(), r.PathValue("name"))
	if err != nil {
		refuse(w, err)
		return
	}
	points := s.Loop.History(view.Name)
	if points == nil {
		points = []control.Point{}
	}
	reply(w, http.StatusOK, map[string]any{"service": view.Name, "points": points})
}

// window reads ?since= and ?limit=.
func window(r *http.Request) (since uint64, limit int, err error) {
	q := r.URL.Query()
	if text := q.Get("since"); text != "" {
		if since, err = strconv.ParseUint(text, 10, 64); err != nil {
			return 0, 0, faultf(http.StatusBadRequest, "since is %q; a sequence number, 0 or more, is allowed", text)
		}
	}
	limit, err = number(q.Get("limit"), "limit", 1, maxLines, maxLines)
	return since, limit, err
}

// number reads a whole number from low to high; an empty text is the default.
func number(text, name string, low, high, otherwise int) (int, error) {
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < low || n > high {
		return 0, faultf(http.StatusBadRequest, "%s is %q; %d to %d is allowed", name, text, low, high)
	}
	return n, nil
}

// flag reads a switch of the query: 1 or true, 0 or false; absent is false.
func flag(r *http.Request, name string) (bool, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return false, nil
	}
	on, err := strconv.ParseBool(text)
	if err != nil {
		return false, faultf(http.StatusBadRequest, "%s is %q; 1 or 0 is allowed", name, text)
	}
	return on, nil
}

// lastOf gives the last n of a list, never nil.
func lastOf[T any](list []T, n int) []T {
	if list == nil {
		return []T{}
	}
	return list[max(0, len(list)-n):]
}

// taskOf finds the tasks that a name means: a task by its id, or by a start of
// it that no other task has.
func taskOf(c plimsoll.Cluster, name string) ([]plimsoll.Task, error) {
	var found []plimsoll.Task
	for _, t := range c.Tasks {
		if t.ID() == name || t.ARN == name {
			return []plimsoll.Task{t}, nil
		}
		if strings.HasPrefix(t.ID(), name) {
			found = append(found, t)
		}
	}
	if len(found) > 1 {
		return nil, faultf(http.StatusBadRequest, "task %q is not one: %d tasks begin like that; give more of the id", name, len(found))
	}
	return found, nil
}
