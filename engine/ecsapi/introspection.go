package ecsapi

import (
	"net/http"
	"strings"
	"time"

	"plimsoll/engine"
)

// The introspection API of the ECS agent, as one task sees it: on ECS it shows
// all tasks of the host, here a task is shown itself alone.

type hostMetadata struct {
	Cluster              string
	ContainerInstanceArn string
	Version              string
}

type taskIntrospection struct {
	Arn           string
	DesiredStatus string `json:",omitempty"`
	KnownStatus   string
	Family        string
	Version       string
	Containers    []containerIntrospection
}

type containerIntrospection struct {
	DockerID   string `json:"DockerId"`
	DockerName string
	Name       string
	Image      string
	ImageID    string
	CreatedAt  *time.Time        `json:",omitempty"`
	StartedAt  *time.Time        `json:",omitempty"`
	Ports      []portMetadata    `json:",omitempty"`
	Networks   []networkMetadata `json:",omitempty"`
	Volumes    []struct{}        `json:",omitempty"`
}

func (a *Agent) commands(engine.View, *engine.Task) any {
	return struct{ AvailableCommands []string }{[]string{"/v1/metadata", "/v1/tasks"}}
}

func (a *Agent) host(_ engine.View, t *engine.Task) any {
	return hostMetadata{Cluster: t.Cluster, ContainerInstanceArn: t.ContainerInstance, Version: "Amazon ECS Agent - v1.105.0 (plimsoll)"}
}

// introspect answers /v1/tasks: the list, or one task by ?taskarn= or ?dockerid=,
// of which the first characters are enough.
func (a *Agent) introspect(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	docker, arn := query.Get("dockerid"), query.Get("taskarn")
	if query.Has("dockerid") && query.Has("taskarn") {
		writeJSON(w, http.StatusBadRequest, taskIntrospection{})
		return
	}
	var own taskIntrospection
	if !a.taskAt(r, func(v engine.View, t *engine.Task) { own = introspection(describeMetadata(v, t)) }) {
		writeJSON(w, http.StatusNotFound, taskIntrospection{})
		return
	}
	matches := query.Has("taskarn") && arn == own.Arn
	for _, c := range own.Containers {
		matches = matches || query.Has("dockerid") && docker != "" && strings.HasPrefix(c.DockerID, docker)
	}
	switch {
	case !query.Has("dockerid") && !query.Has("taskarn"):
		writeJSON(w, http.StatusOK, struct{ Tasks []taskIntrospection }{[]taskIntrospection{own}})
	case matches:
		writeJSON(w, http.StatusOK, own)
	default:
		writeJSON(w, http.StatusNotFound, taskIntrospection{})
	}
}

func introspection(m taskMetadata) taskIntrospection {
	out := taskIntrospection{
		Arn: m.TaskARN, DesiredStatus: m.DesiredStatus, KnownStatus: m.KnownStatus, Family: m.Family, Version: m.Revision,
	}
	for _, c := range m.Containers {
		out.Containers = append(out.Containers, containerIntrospection{
			DockerID: c.DockerID, DockerName: c.DockerName, Name: c.Name, Image: c.Image, ImageID: c.ImageID,
			CreatedAt: c.CreatedAt, StartedAt: c.StartedAt, Ports: c.Ports, Networks: c.Networks,
		})
	}
	return out
}
