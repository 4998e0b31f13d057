package ecsapi

import (
	"strconv"
	"time"

	"plimsoll"
	"plimsoll/engine"
)

// taskMetadata is a task as the metadata endpoints tell it.
type taskMetadata struct {
	Cluster          string
	TaskARN          string
	Family           string
	Revision         string
	DesiredStatus    string
	KnownStatus      string
	Limits           *limits             `json:",omitempty"`
	PullStartedAt    *time.Time          `json:",omitempty"`
	PullStoppedAt    *time.Time          `json:",omitempty"`
	AvailabilityZone string              `json:",omitempty"`
	LaunchType       string              `json:",omitempty"`
	ServiceName      string              `json:",omitempty"`
	TaskTags         map[string]string   `json:",omitempty"`
	InstanceTags     map[string]string   `json:"ContainerInstanceTags,omitempty"`
	Containers       []containerMetadata `json:",omitempty"`
}

// limits are CPU units and MiB for a container, vCPUs and MiB for a task.
type limits struct {
	CPU    float64 `json:",omitempty"`
	Memory int64   `json:",omitempty"`
}

// containerMetadata is a container as the metadata endpoints tell it.
type containerMetadata struct {
	DockerID      string `json:"DockerId"`
	Name          string
	DockerName    string
	Image         string
	ImageID       string
	Ports         []portMetadata    `json:",omitempty"`
	Labels        map[string]string `json:",omitempty"`
	DesiredStatus string
	KnownStatus   string
	ExitCode      *int            `json:",omitempty"`
	Health        *healthMetadata `json:",omitempty"`
	RestartCount  *int            `json:",omitempty"`
	Limits        limits
	CreatedAt     *time.Time `json:",omitempty"`
	StartedAt     *time.Time `json:",omitempty"`
	FinishedAt    *time.Time `json:",omitempty"`
	Type          string
	ContainerARN  string            `json:",omitempty"`
	Networks      []networkMetadata `json:",omitempty"`
}

type healthMetadata struct {
	Status string `json:"status"`
}

type portMetadata struct {
	ContainerPort int
	Protocol      string
	HostPort      int    `json:",omitempty"`
	HostIP        string `json:"HostIp,omitempty"`
}

type networkMetadata struct {
	NetworkMode   string
	IPv4Addresses []string
}

// task tells of the whole task.
func (a *Agent) task(v engine.View, t *engine.Task) any { return describeMetadata(v, t) }

func (a *Agent) taskWithTags(v engine.View, t *engine.Task) any {
	m := describeMetadata(v, t)
	m.TaskTags = t.Tags
	if i, ok := v.Instance(t.Cluster, t.ContainerInstance); ok {
		m.InstanceTags = i.Tags
	}
	return m
}

// container tells of the task's first essential container: the address is the
// task's, all of whose containers are told the same one.
func (a *Agent) container(v engine.View, t *engine.Task) any {
	m := describeMetadata(v, t)
	if len(m.Containers) == 0 {
		return nil
	}
	d, _ := definitionOf(v, t)
	for i, c := range t.Containers {
		if defined := definedAs(d, c.Name); defined != nil && defined.Essential {
			return m.Containers[i]
		}
	}
	return m.Containers[0]
}

func describeMetadata(v engine.View, t *engine.Task) taskMetadata {
	m := taskMetadata{
		Cluster: t.Cluster, TaskARN: t.ARN, Family: t.Family, DesiredStatus: string(t.DesiredStatus),
		PullStartedAt: moment(t.PullStartedAt), PullStoppedAt: moment(t.PullStoppedAt),
		KnownStatus: knownStatus(t.LastStatus), AvailabilityZone: t.Zone, LaunchType: t.LaunchType, ServiceName: t.Service,
	}
	d, ok := definitionOf(v, t)
	if ok {
		m.Revision = strconv.Itoa(d.Revision)
		if d.CPU > 0 || d.Memory > 0 {
			m.Limits = &limits{CPU: float64(d.CPU) / 1024, Memory: d.Memory}
		}
	}
	address := ""
	if i, ok := v.Instance(t.Cluster, t.ContainerInstance); ok {
		address = i.Address
	}
	for i := range t.Containers {
		m.Containers = append(m.Containers, describeContainer(t, &t.Containers[i], d, address))
	}
	return m
}

func describeContainer(t *engine.Task, c *engine.Container, d *engine.TaskDefinition, address string) containerMetadata {
	m := containerMetadata{
		DockerID: runtimeID(t, c.Name), Name: c.Name, DockerName: "ecs-" + t.Family + "-" + c.Name + "-" + t.ID,
		Image: c.Image, DesiredStatus: string(t.DesiredStatus), KnownStatus: knownStatus(c.LastStatus),
		ExitCode: c.ExitCode, Type: "NORMAL", ContainerARN: c.ARN,
		CreatedAt: moment(t.PlacedAt), StartedAt: moment(t.StartedAt), FinishedAt: moment(t.StoppedAt),
		Labels: map[string]string{
			"com.amazonaws.ecs.cluster":                t.Cluster,
			"com.amazonaws.ecs.container-name":         c.Name,
			"com.amazonaws.ecs.task-arn":               t.ARN,
			"com.amazonaws.ecs.task-definition-family": t.Family,
		},
	}
	mode := "bridge"
	if d != nil {
		m.Labels["com.amazonaws.ecs.task-definition-version"] = strconv.Itoa(d.Revision)
		if d.NetworkMode != "" {
			mode = d.NetworkMode
		}
	}
	if defined := definedAs(d, c.Name); defined != nil {
		m.Limits = limits{CPU: float64(defined.CPU), Memory: defined.Memory}
		if defined.Restart != nil {
			m.RestartCount = &c.Restarts
		}
		for key, text := range defined.Labels {
			if _, own := m.Labels[key]; !own {
				m.Labels[key] = text
			}
		}
	}
	if address != "" {
		m.Networks = []networkMetadata{{NetworkMode: mode, IPv4Addresses: []string{address}}}
	}
	if c.Health != "" {
		m.Health = &healthMetadata{Status: c.Health}
	}
	for _, b := range c.Bindings {
		m.Ports = append(m.Ports, portMetadata{
			ContainerPort: b.ContainerPort, Protocol: b.Protocol, HostPort: b.HostPort, HostIP: b.Address,
		})
	}
	return m
}

func definedAs(d *engine.TaskDefinition, container string) *engine.ContainerDefinition {
	if d == nil {
		return nil
	}
	for i := range d.Containers {
		if d.Containers[i].Name == container {
			return &d.Containers[i]
		}
	}
	return nil
}

// knownStatus is a status in the agent's words, which has fewer than ECS.
func knownStatus(s plimsoll.Status) string {
	switch s {
	case plimsoll.StatusProvisioning:
		return "NONE"
	case plimsoll.StatusPending, plimsoll.StatusActivating:
		return "CREATED"
	case plimsoll.StatusStopped, plimsoll.StatusDeprovisioning:
		return "STOPPED"
	}
	return "RUNNING"
}
