package api

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"plimsoll/control"
)

// maxFloor is the longest time that a floor may be set for.
const maxFloor = 7 * 24 * time.Hour

// scale sets a floor for a stated time: {"floor": 5, "for": "10m"}. A floor of
// 0 ends it.
func (s *server) scale(w http.ResponseWriter, r *http.Request) {
	view, err := s.managed(r)
	if err != nil {
		refuse(w, err)
		return
	}
	var q struct {
		Floor *int   `json:"floor"`
		For   string `json:"for"`
	}
	if err := body(w, r, &q); err != nil {
		refuse(w, err)
		return
	}
	if q.Floor == nil || *q.Floor < 0 || *q.Floor > view.Max {
		refuse(w, faultf(http.StatusBadRequest, "floor is needed: 0 (none) to %d, the max of service %q", view.Max, view.Name))
		return
	}
	var until time.Time
	if *q.Floor > 0 {
		d, err := time.ParseDuration(q.For)
		if err != nil || d <= 0 || d > maxFloor {
			refuse(w, faultf(http.StatusBadRequest, "for is %q; how long the floor holds is needed, such as \"10m\", at most %q", q.For, "168h"))
			return
		}
		until = s.Now().Add(d)
	}
	if err := s.Loop.SetFloor(view.Name, *q.Floor, until); err != nil {
		refuse(w, s.loopFault(err))
		return
	}
	s.Log.Info("floor set", "service", view.Name, "floor", *q.Floor, "for", q.For)
	reply(w, http.StatusOK, struct {
		Service string    `json:"service"`
		Floor   int       `json:"floor"`
		Until   time.Time `json:"until,omitzero"`
	}{view.Name, *q.Floor, until})
}

func (s *server) pause(w http.ResponseWriter, r *http.Request) { s.hold(w, r, true, s.Loop.Pause) }

func (s *server) resume(w http.ResponseWriter, r *http.Request) { s.hold(w, r, false, s.Loop.Resume) }

// hold pauses or resumes a service.
func (s *server) hold(w http.ResponseWriter, r *http.Request, paused bool, do func(string) error) {
	view, err := s.managed(r)
	if err == nil {
		err = body(w, r, &struct{}{})
	}
	if err != nil {
		refuse(w, err)
		return
	}
	if err := do(view.Name); err != nil {
		refuse(w, s.loopFault(err))
		return
	}
	s.Log.Info("pause set", "service", view.Name, "paused", paused)
	reply(w, http.StatusOK, map[string]any{"service": view.Name, "paused": paused})
}

// managed finds the service of the path among those under control.
func (s *server) managed(r *http.Request) (ServiceView, error) {
	view, err := s.find(s.Loop.State(), r.PathValue("name"))
	if err == nil && !view.Managed {
		names := []string{}
		for _, k := range withVerdicts(s.Services, s.Loop.State().Plan.Verdicts) {
			names = append(names, k.Name)
		}
		err = faultf(http.StatusConflict, "service %q is not under control; those that are: %s", view.Name, strings.Join(names, ", "))
	}
	return view, err
}

// loopFault gives the loop's refusals their status.
func (s *server) loopFault(err error) error {
	if errors.Is(err, control.ErrUnknownService) {
		return faultf(http.StatusNotFound, "%s", err)
	}
	return err
}

// shutdown answers first and then begins the end, so that the answer is still
// sent.
func (s *server) shutdown(w http.ResponseWriter, _ *http.Request) {
	if s.Shutdown == nil {
		refuse(w, faultf(http.StatusNotImplemented, "this program is not ended over the API; send it SIGTERM"))
		return
	}
	s.Log.Info("shutdown asked for over the API")
	reply(w, http.StatusAccepted, map[string]string{"status": "stopping"})
	_ = http.NewResponseController(w).Flush() // unsupported: the answer goes when the handler returns
	s.Shutdown()
}
