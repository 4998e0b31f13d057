package api

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"plimsoll/control"
)

// maxFloor is the longest time that a floor or a ceiling may be set for.
const maxFloor = 7 * 24 * time.Hour

// bound is what a person asks for: {"floor": 5, "for": "10m"} or {"ceiling": 5,
// "for": "10m"}.
type bound struct {
	Floor   *int   `json:"floor"`
	Ceiling *int   `json:"ceiling"`
	For     string `json:"for"`
}

// scale sets a floor or a ceiling for a stated time. A floor of 0 and a ceiling
// of the service's max end what was set.
func (s *server) scale(w http.ResponseWriter, r *http.Request) {
	view, err := s.managed(r)
	if err != nil {
		refuse(w, err)
		return
	}
	var q bound
	if err := body(w, r, &q); err != nil {
		refuse(w, err)
		return
	}
	until, err := s.until(view, q)
	if err != nil {
		refuse(w, err)
		return
	}
	set, n, word := s.Loop.SetFloor, q.Floor, "floor"
	if q.Ceiling != nil {
		set, n, word = s.Loop.SetCeiling, q.Ceiling, "ceiling"
	}
	if err := set(view.Name, *n, until); err != nil {
		refuse(w, s.loopFault(err))
		return
	}
	s.Log.Info(word+" set", "service", view.Name, word, *n, "for", q.For)
	answer := map[string]any{"service": view.Name, word: *n}
	if !until.IsZero() {
		answer["until"] = until
	}
	reply(w, http.StatusOK, answer)
}

// until checks what is asked for, and gives when it ends; the zero time ends
// what was set.
func (s *server) until(view ServiceView, q bound) (time.Time, error) {
	none := false
	switch {
	case q.Floor == nil && q.Ceiling == nil, q.Floor != nil && (*q.Floor < 0 || *q.Floor > view.Max):
		return time.Time{}, faultf(http.StatusBadRequest, "floor is needed: 0 (none) to %d, the max of service %q", view.Max, view.Name)
	case q.Floor != nil && q.Ceiling != nil:
		return time.Time{}, faultf(http.StatusBadRequest, "floor and ceiling are both given; ask for one after the other")
	case q.Floor != nil:
		none = *q.Floor == 0
	case *q.Ceiling < view.Min || *q.Ceiling > view.Max:
		return time.Time{}, faultf(http.StatusBadRequest, "ceiling is %d; allowed: %d, the min of service %q, to %d, its max, which is none", *q.Ceiling, view.Min, view.Name, view.Max)
	default:
		none = *q.Ceiling == view.Max
	}
	if none {
		return time.Time{}, nil
	}
	d, err := time.ParseDuration(q.For)
	if err != nil || d <= 0 || d > maxFloor {
		return time.Time{}, faultf(http.StatusBadRequest, "for is %q; how long it holds is needed, such as \"10m\", at most %q", q.For, "168h")
	}
	return s.Now().Add(d), nil
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
