package ecsapi

import (
	"fmt"
	"net/netip"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"plimsoll/engine"
	"plimsoll/engine/awsapi"
	"plimsoll/engine/runtime"
	"plimsoll/engine/runtime/order"
)

// ECS's defaults, in seconds and times.
const (
	healthInterval = 30
	healthTimeout  = 5
	healthRetries  = 3
	restartPeriod  = 300
)

func seconds(n int32) time.Duration { return time.Duration(n) * time.Second }

// orderIn is what decides when the container starts, starts again and stops.
func orderIn(at string, c *types.ContainerDefinition, out *engine.ContainerDefinition) error {
	for _, d := range c.DependsOn {
		out.DependsOn = append(out.DependsOn, order.Dependency{Container: value(d.ContainerName), Condition: string(d.Condition)})
	}
	if t := value(c.StopTimeout); c.StopTimeout != nil && (t < 1 || t > 3600) {
		return awsapi.Refuse(codeClient, "%s.stopTimeout %d is invalid: 1 to 3600 seconds are allowed.", at, t)
	}
	if t := value(c.StartTimeout); c.StartTimeout != nil && (t < 1 || t > 3600) {
		return awsapi.Refuse(codeClient, "%s.startTimeout %d is invalid: 1 to 3600 seconds are allowed.", at, t)
	}
	out.StopTimeout, out.StartTimeout = seconds(value(c.StopTimeout)), seconds(value(c.StartTimeout))
	if r := c.RestartPolicy; r != nil && value(r.Enabled) {
		out.Restart = &order.Restart{AttemptPeriod: seconds(restartPeriod)}
		if r.RestartAttemptPeriod != nil {
			out.Restart.AttemptPeriod = seconds(*r.RestartAttemptPeriod)
		}
		for _, code := range r.IgnoredExitCodes {
			out.Restart.IgnoredExitCodes = append(out.Restart.IgnoredExitCodes, int(code))
		}
	}
	if h := c.HealthCheck; h != nil {
		if len(h.Command) < 2 || h.Command[0] != "CMD" && h.Command[0] != "CMD-SHELL" || h.Command[0] == "CMD-SHELL" && len(h.Command) != 2 {
			return awsapi.Refuse(codeClient, "%s.healthCheck.command %q is invalid: CMD with a program and its arguments, or CMD-SHELL with one command line is allowed.", at, h.Command)
		}
		orElse := func(p *int32, otherwise int32) time.Duration {
			if p == nil {
				return seconds(otherwise)
			}
			return seconds(*p)
		}
		out.HealthCheck = &order.Health{
			Command: h.Command, Interval: orElse(h.Interval, healthInterval), Timeout: orElse(h.Timeout, healthTimeout),
			Retries: healthRetries, StartPeriod: orElse(h.StartPeriod, 0),
		}
		if h.Retries != nil {
			out.HealthCheck.Retries = int(*h.Retries)
		}
	}
	return nil
}

// settingIn is what surrounds the container.
func (a *api) settingIn(at string, c *types.ContainerDefinition) (runtime.Setting, error) {
	s := runtime.Setting{
		Privileged: value(c.Privileged), ReadOnlyRoot: value(c.ReadonlyRootFilesystem), Hostname: value(c.Hostname),
		Links: c.Links, DNSServers: c.DnsServers, SearchDomains: c.DnsSearchDomains, Stdin: value(c.Interactive),
	}
	for j, u := range c.Ulimits {
		if !slices.Contains(u.Name.Values(), u.Name) {
			return s, awsapi.Refuse(codeClient, "%s.ulimits[%d].name %q is invalid: %v are allowed.", at, j, u.Name, u.Name.Values())
		}
		if u.SoftLimit < -1 || u.HardLimit < -1 || u.HardLimit != -1 && (u.SoftLimit > u.HardLimit || u.SoftLimit == -1) {
			return s, awsapi.Refuse(codeClient, "%s.ulimits[%d]: softLimit %d has to be at most hardLimit %d.", at, j, u.SoftLimit, u.HardLimit)
		}
		s.Ulimits = append(s.Ulimits, runtime.Ulimit{Name: string(u.Name), Soft: int64(u.SoftLimit), Hard: int64(u.HardLimit)})
	}
	for _, m := range c.MountPoints {
		s.Mounts = append(s.Mounts, runtime.Mount{Volume: value(m.SourceVolume), Path: path.Clean(value(m.ContainerPath)), ReadOnly: value(m.ReadOnly)})
	}
	for _, v := range c.VolumesFrom {
		s.VolumesFrom = append(s.VolumesFrom, runtime.VolumeFrom{Container: value(v.SourceContainer), ReadOnly: value(v.ReadOnly)})
	}
	for _, check := range []func(string, *types.ContainerDefinition, *runtime.Setting) error{a.linuxIn, namesIn, sysctlsIn, logsIn} {
		if err := check(at, c, &s); err != nil {
			return s, err
		}
	}
	return s, nil
}

func (a *api) linuxIn(at string, c *types.ContainerDefinition, s *runtime.Setting) error {
	l := c.LinuxParameters
	if l == nil {
		return nil
	}
	at += ".linuxParameters"
	s.Init = l.InitProcessEnabled
	s.SharedMemory = int64(value(l.SharedMemorySize))
	if s.SharedMemory < 0 {
		return awsapi.Refuse(codeClient, "%s.sharedMemorySize %d cannot be negative.", at, s.SharedMemory)
	}
	if l.MaxSwap != nil {
		if *l.MaxSwap < 0 || value(c.Memory) == 0 {
			return awsapi.Refuse(codeClient, "%s.maxSwap %d: it cannot be negative, and needs the container's memory to be set.", at, *l.MaxSwap)
		}
		s.Swap = of(int64(*l.MaxSwap))
	}
	if k := l.Capabilities; k != nil {
		if err := a.able.checkCapabilities(at, k.Add, k.Drop); err != nil {
			return err
		}
		s.AddCapabilities, s.DropCapabilities = k.Add, k.Drop
	}
	for _, t := range l.Tmpfs {
		s.Tmpfs = append(s.Tmpfs, runtime.Tmpfs{Path: value(t.ContainerPath), Size: int64(t.Size), Options: t.MountOptions})
	}
	return nil
}

func namesIn(at string, c *types.ContainerDefinition, s *runtime.Setting) error {
	for j, server := range c.DnsServers {
		if _, err := netip.ParseAddr(server); err != nil {
			return awsapi.Refuse(codeClient, "%s.dnsServers[%d] %q is not an IP address.", at, j, server)
		}
	}
	for j, h := range c.ExtraHosts {
		if _, err := netip.ParseAddr(value(h.IpAddress)); err != nil || value(h.Hostname) == "" || strings.ContainsAny(*h.Hostname, ": ") {
			return awsapi.Refuse(codeClient, "%s.extraHosts[%d]: a hostname (%q) and an IP address (%q) are required.", at, j, value(h.Hostname), value(h.IpAddress))
		}
		s.ExtraHosts = append(s.ExtraHosts, *h.Hostname+":"+*h.IpAddress)
	}
	return nil
}

// sysctlsIn reads systemControls: only those that are a container's own.
func sysctlsIn(at string, c *types.ContainerDefinition, s *runtime.Setting) error {
	for j, control := range c.SystemControls {
		name := value(control.Namespace)
		if !slices.ContainsFunc([]string{"net.", "kernel.msg", "kernel.sem", "kernel.shm", "fs.mqueue."}, func(p string) bool { return strings.HasPrefix(name, p) }) {
			return awsapi.Refuse(codeClient, "%s.systemControls[%d].namespace %q is not supported: net.*, kernel.msg*, kernel.sem, kernel.shm* and fs.mqueue.* are.", at, j, name)
		}
		if s.Sysctls == nil {
			s.Sysctls = map[string]string{}
		}
		s.Sysctls[name] = value(control.Value)
	}
	return nil
}

func logsIn(at string, c *types.ContainerDefinition, s *runtime.Setting) error {
	l := c.LogConfiguration
	if l == nil {
		return nil
	}
	if string(l.LogDriver) != "json-file" && string(l.LogDriver) != "local" {
		return awsapi.Refuse(codeClient, "%s.logConfiguration.logDriver %q is not supported by this engine, which keeps the logs itself: json-file and local are.", at, l.LogDriver)
	}
	s.LogDriver, s.LogOptions = string(l.LogDriver), l.Options
	return nil
}

// volumesIn reads the volumes, and refuses what of the machine is not allowed.
func (a *api) volumesIn(volumes []types.Volume) ([]runtime.Volume, error) {
	var all []runtime.Volume
	for i, v := range volumes {
		at := fmt.Sprintf("volumes[%d]", i)
		made := runtime.Volume{Name: value(v.Name)}
		d := v.DockerVolumeConfiguration
		if v.Host != nil && value(v.Host.SourcePath) != "" {
			if d != nil {
				return nil, awsapi.Refuse(codeClient, "%s has both host.sourcePath and dockerVolumeConfiguration: only one is allowed.", at)
			}
			if !filepath.IsAbs(*v.Host.SourcePath) {
				return nil, awsapi.Refuse(codeClient, "%s.host.sourcePath %q is not an absolute path.", at, *v.Host.SourcePath)
			}
			made.HostPath = filepath.Clean(*v.Host.SourcePath)
		}
		if d != nil {
			made.Shared = d.Scope == types.ScopeShared
			if d.Scope != "" && !slices.Contains(d.Scope.Values(), d.Scope) {
				return nil, awsapi.Refuse(codeClient, "%s.dockerVolumeConfiguration.scope %q is invalid: %v are allowed.", at, d.Scope, d.Scope.Values())
			}
			if d.Autoprovision != nil && !made.Shared {
				return nil, awsapi.Refuse(codeClient, "%s.dockerVolumeConfiguration.autoprovision is for the scope shared.", at)
			}
			made.Provision, made.Driver, made.Options, made.Labels = value(d.Autoprovision), value(d.Driver), d.DriverOpts, d.Labels
		}
		if !a.able.Anything {
			if err := a.able.Allow.CheckVolume(made); err != nil {
				return nil, awsapi.Refuse(codeClient, "%s: %v.", at, err)
			}
		}
		all = append(all, made)
	}
	return all, nil
}

// defaults fills in what ECS fills in of a container's definition.
func defaults(c *types.ContainerDefinition) {
	if h := c.HealthCheck; h != nil {
		made := *h
		for _, f := range []struct {
			to *(*int32)
			by int32
		}{{&made.Interval, healthInterval}, {&made.Timeout, healthTimeout}, {&made.Retries, healthRetries}} {
			if *f.to == nil {
				*f.to = of(f.by)
			}
		}
		c.HealthCheck = &made
	}
	if r := c.RestartPolicy; r != nil && value(r.Enabled) && r.RestartAttemptPeriod == nil {
		made := *r
		made.RestartAttemptPeriod = of(int32(restartPeriod))
		c.RestartPolicy = &made
	}
}
