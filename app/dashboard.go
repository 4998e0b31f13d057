package app

import (
	"cmp"
	"fmt"
	"log/slog"
	"net"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"plimsoll/api"
	"plimsoll/compose"
	"plimsoll/control"
	"plimsoll/web"
)

// dashboard is the REST API and the page over a loop.
type dashboard struct {
	loop     *control.Loop
	services []compose.Service
	urls     map[string]string
	token    string
	// taskToken tells a task's own token, where Plimsoll itself gives them.
	taskToken func(task, token string) bool
	version   string
	shutdown  func()
	log       *slog.Logger
	// logs and router are there where Plimsoll itself runs the tasks and
	// routes to them; routerPort is then the router's.
	logs       api.Logs
	router     api.Router
	routerPort int
	// meter is there where Plimsoll runs the tasks.
	meter api.Meter
}

// serve answers on l until the stack is closed.
func (d dashboard) serve(s *stack, l net.Listener) error {
	handler, err := api.New(api.Options{
		Loop: d.loop, Services: shown(d.services, d.routerPort), Logs: d.logs, Router: d.router, Meter: d.meter, Page: web.Handler(),
		Shutdown: d.shutdown, Token: d.token, TaskToken: d.taskToken, Version: d.version, URLs: d.urls,
		Registry: prometheus.NewRegistry(), Log: d.log,
	})
	if err != nil {
		return err
	}
	serve(s, "the dashboard", l, &http.Server{Handler: handler, ReadHeaderTimeout: headTimeout}, d.log)
	return nil
}

// shown is what the API says of the services beside what the loop knows.
func shown(services []compose.Service, routerPort int) []api.Service {
	var out []api.Service
	for _, s := range services {
		v := api.Service{
			Name: s.Name, Priority: s.Scaling.Priority, Min: s.Scaling.Min, Max: s.Scaling.Max,
			Remainder: s.Scaling.Remainder, Cooperative: s.Scaling.Cooperative,
		}
		if r := s.Scaling.Route; r != nil && routerPort != 0 {
			v.URL = fmt.Sprintf("http://%s:%d%s", cmp.Or(r.Host, "localhost"), routerPort, r.Path)
		}
		out = append(out, v)
	}
	return out
}
