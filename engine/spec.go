package engine

import (
	"fmt"

	"plimsoll"
	"plimsoll/engine/runtime"
)

// spec is all that a runtime needs to start the task.
func (m *Machine) spec(t *task) runtime.Spec {
	d := t.def.With(t.Override)
	s := runtime.Spec{
		TaskID: t.ID, TaskARN: t.ARN, Cluster: t.Cluster, Family: t.Family,
		Revision: d.Revision, Service: t.Service, Address: t.host.Address, Network: d.NetworkMode,
		PIDMode: d.PIDMode, IPCMode: d.IPCMode, Volumes: d.Volumes, Stopping: t.LastStatus == plimsoll.StatusStopping,
	}
	if s.Network == "" {
		s.Network = "bridge"
	}
	env := m.cfg.TaskEnv(t.ID, d.TaskRoleARN != "")
	for _, c := range d.Containers {
		s.Containers = append(s.Containers, d.container(t.Task, c, env))
	}
	return s
}

// container makes the runtime's container of a definition's.
func (d *TaskDefinition) container(t *Task, c ContainerDefinition, env map[string]string) runtime.Container {
	made := runtime.Container{
		Name: c.Name, Image: c.Image, EntryPoint: c.EntryPoint, Command: c.Command,
		WorkingDir: c.WorkingDirectory, User: c.User, Env: merged(env, c.Environment),
		CPU: c.CPU, Memory: c.Memory, Essential: c.Essential, StopTimeout: c.StopTimeout,
		DependsOn: c.DependsOn, StartTimeout: c.StartTimeout, HealthCheck: c.HealthCheck, Restart: c.Restart, Setting: c.Setting,
		Labels: merged(c.Labels, map[string]string{
			"com.amazonaws.ecs.cluster":                 t.Cluster,
			"com.amazonaws.ecs.container-name":          c.Name,
			"com.amazonaws.ecs.task-arn":                t.ARN,
			"com.amazonaws.ecs.task-definition-family":  d.Family,
			"com.amazonaws.ecs.task-definition-version": fmt.Sprint(d.Revision),
		}),
	}
	if made.StopTimeout <= 0 {
		made.StopTimeout = defaultStop
	}
	// The task's own limits are those of its only container, and bound the
	// memory of each of several.
	if made.CPU == 0 && len(d.Containers) == 1 {
		made.CPU = d.CPU
	}
	if made.Memory == 0 {
		made.Memory = d.Memory
	}
	for _, p := range c.PortMappings {
		port := runtime.Port{ContainerPort: p.ContainerPort, HostPort: d.hostPort(p), Protocol: p.Protocol}
		if port.Protocol == "" {
			port.Protocol = "tcp"
		}
		made.Ports = append(made.Ports, port)
	}
	return made
}
