package app

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"

	"plimsoll"
	"plimsoll/compose"
	"plimsoll/platform"
)

// taskRole is the role that the tasks of a compose file run under: it lets a
// worker use the AWS endpoint with nothing configured.
const taskRole = "arn:aws:iam::" + Account + ":role/plimsoll-task"

// deployment is what deploying a project needs of a platform.
type deployment interface {
	platform.Cluster
	platform.Deployer
}

// deploy makes the project's services exist on the platform, and removes those
// of an earlier version of the file that are no longer in it.
func deploy(ctx context.Context, p deployment, project *compose.Project, log *slog.Logger) error {
	for _, s := range project.Services {
		if err := p.Deploy(ctx, serviceSpec(project, s)); err != nil {
			return fmt.Errorf("%s:%d: services.%s: %w", project.File, s.Line, s.Name, err)
		}
	}
	cluster, err := p.Snapshot(ctx)
	if err != nil {
		return err
	}
	for _, there := range cluster.Services {
		named := slices.ContainsFunc(project.Services, func(s compose.Service) bool { return s.Name == there.Name })
		if named || there.Tags[plimsoll.TagProject] != project.Name {
			continue
		}
		log.Info("removing a service that is no longer in the file", "service", there.Name)
		if err := p.Remove(ctx, there.Name); err != nil {
			return fmt.Errorf("removing service %q, which is no longer in %s: %w", there.Name, project.File, err)
		}
	}
	return nil
}

// serviceSpec is a service of the file as the platform deploys it. It starts
// with Min tasks; from then on the control loop alone sets the count.
func serviceSpec(project *compose.Project, s compose.Service) platform.ServiceSpec {
	var ports []platform.PortSpec
	for _, p := range s.Ports {
		ports = append(ports, platform.PortSpec{ContainerPort: p.ContainerPort, HostPort: p.HostPort, Protocol: p.Protocol})
	}
	return platform.ServiceSpec{
		Name:    s.Name,
		Desired: s.Scaling.Min,
		Container: platform.ContainerSpec{
			Image:       s.Image,
			EntryPoint:  s.EntryPoint,
			Command:     s.Command,
			WorkingDir:  s.WorkingDir,
			User:        s.User,
			Environment: s.Environment,
			Reserved:    s.Reserved,
			Ports:       ports,
			StopTimeout: s.StopTimeout,

			HealthCheck:     s.HealthCheck,
			AddCapabilities: s.CapAdd, DropCapabilities: s.CapDrop, Init: s.Init, ReadOnlyRoot: s.ReadOnly,
			Ulimits: s.Ulimits,
			Tmpfs:   s.Tmpfs,
			Mounts:  s.Mounts,
		},
		TaskRoleARN: taskRole,
		Tags: map[string]string{
			plimsoll.TagPriority: strconv.Itoa(s.Scaling.Priority),
			plimsoll.TagProject:  project.Name,
		},
	}
}
