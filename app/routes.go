package app

import (
	"net"
	"strconv"

	"plimsoll"
	"plimsoll/compose"
	"plimsoll/router"
)

// routes are the routes of the file.
func routes(project *compose.Project) []router.Route {
	var out []router.Route
	for _, s := range project.Services {
		r := s.Scaling.Route
		if r == nil {
			continue
		}
		out = append(out, router.Route{
			Host: r.Host, Path: r.Path, Service: s.Name, Strip: r.Strip,
			HealthPath: r.Health, HoldTimeout: r.Hold,
		})
	}
	return out
}

// table is what the router serves of a snapshot: the tasks that may get new
// work, by the port that each route names.
func table(project *compose.Project, routes []router.Route, cluster plimsoll.Cluster) router.Table {
	t := router.Table{Routes: routes, Services: map[string][]router.Target{}}
	ports := map[string]int{}
	for _, s := range project.Services {
		if s.Scaling.Route != nil {
			ports[s.Name] = s.Scaling.Route.Port
			t.Services[s.Name] = nil
		}
	}
	for _, task := range cluster.Tasks {
		port, routed := ports[task.Service]
		if !routed || !task.Serving() {
			continue
		}
		for _, e := range task.Endpoints {
			if e.Host == "" || port != 0 && e.ContainerPort != port {
				continue
			}
			t.Services[task.Service] = append(t.Services[task.Service], router.Target{
				ID: task.ID(), Zone: task.Zone, Address: net.JoinHostPort(e.Host, strconv.Itoa(e.Port)),
			})
			break
		}
	}
	return t
}
