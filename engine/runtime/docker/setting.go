package docker

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/container"

	"plimsoll/engine/runtime"
	"plimsoll/engine/runtime/order"
)

// DefaultPids bounds the processes and threads of a container, so that one that
// forks without end takes none of the others with it.
const DefaultPids = 4096

// kept are the capabilities that every container has: what the entry points of
// ordinary images need to take a low port and to become another user.
var kept = []string{"CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID", "SETPCAP"}

// Harmless are the capabilities that any task may add: those that Docker itself
// gives to every container and that are not kept here.
var Harmless = []string{"AUDIT_WRITE", "MKNOD", "NET_RAW", "SETFCAP", "SYS_CHROOT"}

// Abilities are what this runtime can do for a task, within what is allowed.
func Abilities(allow runtime.Allow) runtime.Abilities {
	allow.Capabilities = slices.Concat(kept, Harmless, allow.Capabilities)
	can := map[runtime.Ability]bool{
		runtime.HostNetwork: allow.HostNetwork, runtime.HostPID: allow.HostPID, runtime.HostIPC: allow.HostIPC,
		runtime.Privileged: allow.Privileged,
	}
	for _, a := range []runtime.Ability{
		runtime.NoNetwork, runtime.Volumes, runtime.Temporary, runtime.Capabilities, runtime.ReadOnlyRoot,
		runtime.SharedMemory, runtime.Swap, runtime.Sysctls, runtime.Names, runtime.StandardInput, runtime.LogDrivers,
	} {
		can[a] = true
	}
	return runtime.Abilities{Runtime: "docker", Images: true, Can: can, Allow: allow}
}

// checkSpec refuses what is not allowed: it stands between the machine and a
// definition that was registered when more was.
func (r *Runtime) checkSpec(spec runtime.Spec) error {
	able := Abilities(r.o.Allow)
	for _, a := range []struct {
		asked bool
		for_  runtime.Ability
	}{
		{spec.Network == "host", runtime.HostNetwork},
		{spec.PIDMode == "host", runtime.HostPID},
		{spec.IPCMode == "host", runtime.HostIPC},
	} {
		if a.asked && !able.Can[a.for_] {
			return fmt.Errorf("%s is not allowed by this engine", a.for_)
		}
	}
	for _, c := range spec.Containers {
		if c.Setting.Privileged && !r.o.Allow.Privileged {
			return fmt.Errorf("container %q: privileged is not allowed by this engine", c.Name)
		}
		for _, name := range c.Setting.AddCapabilities {
			if !slices.Contains(able.Allow.Capabilities, name) {
				return fmt.Errorf("container %q: the capability %s is not allowed by this engine", c.Name, name)
			}
		}
	}
	return nil
}

// guard is the floor under every container: few capabilities, none gained by
// executing a file, and a bound on its processes.
func guard(c runtime.Container, host *container.HostConfig) {
	s := c.Setting
	pids := int64(DefaultPids)
	host.PidsLimit = &pids
	if s.Privileged {
		host.Privileged = true
		return
	}
	host.SecurityOpt = []string{"no-new-privileges"}
	host.CapDrop = []string{"ALL"}
	if slices.Contains(s.DropCapabilities, "ALL") {
		host.CapAdd = slices.Clone(s.AddCapabilities)
		return
	}
	for _, name := range slices.Concat(kept, s.AddCapabilities) {
		if !slices.Contains(s.DropCapabilities, name) && !slices.Contains(host.CapAdd, name) {
			host.CapAdd = append(host.CapAdd, name)
		}
	}
}

// surround puts the container's setting into Docker's words.
func surround(spec runtime.Spec, c runtime.Container, config *container.Config, host *container.HostConfig) error {
	s := c.Setting
	guard(c, host)
	for _, u := range s.Ulimits {
		host.Ulimits = append(host.Ulimits, &units.Ulimit{Name: u.Name, Soft: u.Soft, Hard: u.Hard})
	}
	if s.Init != nil {
		host.Init = s.Init
	}
	for _, t := range s.Tmpfs {
		if host.Tmpfs == nil {
			host.Tmpfs = map[string]string{}
		}
		host.Tmpfs[t.Path] = strings.Join(append([]string{fmt.Sprintf("size=%dm", t.Size)}, t.Options...), ",")
	}
	var err error
	if host.Mounts, err = mounts(spec, c); err != nil {
		return err
	}
	for _, from := range s.VolumesFrom {
		name := containerName(spec.TaskID, from.Container)
		if from.ReadOnly {
			name += ":ro"
		}
		host.VolumesFrom = append(host.VolumesFrom, name)
	}
	host.ReadonlyRootfs, host.ShmSize = s.ReadOnlyRoot, s.SharedMemory<<20
	if s.Swap != nil && c.Memory > 0 {
		host.MemorySwap = (c.Memory + *s.Swap) << 20
	}
	host.Sysctls = maps.Clone(s.Sysctls)
	host.PidMode, host.IpcMode = container.PidMode(spec.PIDMode), container.IpcMode(spec.IPCMode)
	config.OpenStdin = s.Stdin
	if s.LogDriver != "" {
		host.LogConfig = container.LogConfig{Type: s.LogDriver, Config: s.LogOptions}
	}
	return name(spec, c, config, host)
}

// name gives the container its own name and those of others.
func name(spec runtime.Spec, c runtime.Container, config *container.Config, host *container.HostConfig) error {
	s := c.Setting
	config.Hostname = s.Hostname
	host.ExtraHosts, host.DNSSearch = s.ExtraHosts, s.SearchDomains
	for _, server := range s.DNSServers {
		address, err := netip.ParseAddr(server)
		if err != nil {
			return fmt.Errorf("dnsServers: %q is not an IP address", server)
		}
		host.DNS = append(host.DNS, address)
	}
	for _, link := range s.Links {
		to, alias, found := strings.Cut(link, ":")
		if !found {
			alias = to
		}
		host.Links = append(host.Links, containerName(spec.TaskID, to)+":"+alias)
	}
	return nil
}

// healthCheck is Docker's. That of the image is never run: ECS does not either.
func healthCheck(h *order.Health) *container.HealthConfig {
	if h == nil {
		return &container.HealthConfig{Test: []string{"NONE"}}
	}
	return &container.HealthConfig{
		Test: h.Command, Interval: h.Interval, Timeout: h.Timeout, Retries: h.Retries,
		// Older Docker Engines do not know the start interval, and begin after one
		// whole interval.
		StartPeriod: h.Grace(), StartInterval: min(order.Eager, h.Interval),
	}
}
