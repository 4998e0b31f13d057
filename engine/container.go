package engine

import (
	"path"
	"slices"
	"time"

	"plimsoll/engine/runtime"
	"plimsoll/engine/runtime/order"
)

// order is what the order of the definition's containers depends on.
func (d *TaskDefinition) order() []order.Container {
	s := runtime.Spec{Containers: make([]runtime.Container, len(d.Containers))}
	for i, c := range d.Containers {
		s.Containers[i] = runtime.Container{Name: c.Name, DependsOn: c.DependsOn, Setting: c.Setting}
	}
	return s.Order()
}

// checkOrder refuses dependencies that can never be met.
func checkOrder(d *TaskDefinition) *Error {
	if bad := order.Check(d.order()); bad != "" {
		return refuse(codeClient, "Invalid 'dependsOn', 'links' or 'volumesFrom' setting: %s.", bad)
	}
	for _, c := range d.Containers {
		for _, on := range c.DependsOn {
			at := slices.IndexFunc(d.Containers, func(o ContainerDefinition) bool { return o.Name == on.Container })
			other := &d.Containers[at]
			switch on.Condition {
			case order.Start:
			case order.Healthy:
				if other.HealthCheck == nil {
					return refuse(codeClient, "Invalid 'dependsOn' setting for container '%s'. Container '%s' has no healthCheck, which the condition HEALTHY needs.", c.Name, other.Name)
				}
			case order.Complete, order.Success:
				if other.Essential {
					return refuse(codeClient, "Invalid 'dependsOn' setting for container '%s'. The condition %s cannot be set on container '%s', which is essential.", c.Name, on.Condition, other.Name)
				}
			default:
				return refuse(codeClient, "Invalid 'dependsOn' setting for container '%s'. The condition %q is not one of START, COMPLETE, SUCCESS, HEALTHY.", c.Name, on.Condition)
			}
		}
	}
	return nil
}

// span is an allowed range of a time, both ends included.
type span struct {
	field     string
	value     time.Duration
	low, high time.Duration
}

// checkSetting refuses what ECS refuses of what surrounds a container.
func checkSetting(d *TaskDefinition, c *ContainerDefinition) *Error {
	var spans []span
	if h := c.HealthCheck; h != nil {
		if h.Retries < 1 || h.Retries > 10 {
			return refuse(codeClient, "Invalid setting for container '%s'. healthCheck.retries %d is not from 1 to 10.", c.Name, h.Retries)
		}
		spans = append(spans,
			span{"healthCheck.interval", h.Interval, 5 * time.Second, 300 * time.Second},
			span{"healthCheck.timeout", h.Timeout, 2 * time.Second, 120 * time.Second},
			span{"healthCheck.startPeriod", h.StartPeriod, 0, 300 * time.Second})
	}
	if r := c.Restart; r != nil {
		if len(r.IgnoredExitCodes) > 50 {
			return refuse(codeClient, "Invalid setting for container '%s'. restartPolicy.ignoredExitCodes has %d codes: at most 50 are allowed.", c.Name, len(r.IgnoredExitCodes))
		}
		spans = append(spans, span{"restartPolicy.restartAttemptPeriod", r.AttemptPeriod, 60 * time.Second, 1800 * time.Second})
	}
	for _, s := range spans {
		if s.value < s.low || s.value > s.high {
			return refuse(codeClient, "Invalid setting for container '%s'. %s %g is not from %g to %g seconds.", c.Name, s.field, s.value.Seconds(), s.low.Seconds(), s.high.Seconds())
		}
	}
	return checkNames(d, c)
}

// checkNames refuses names of hosts where there is no network of the container's
// own for them.
func checkNames(d *TaskDefinition, c *ContainerDefinition) *Error {
	s := &c.Setting
	if len(s.Links) > 0 && d.NetworkMode != "bridge" && d.NetworkMode != "" {
		return refuse(codeClient, "Links are not supported when networkMode=%s: container '%s' has some.", d.NetworkMode, c.Name)
	}
	if d.NetworkMode == "host" && s.Hostname != "" {
		return refuse(codeClient, "Invalid setting for container '%s'. hostname is not supported when networkMode=host.", c.Name)
	}
	if d.NetworkMode != "bridge" && d.NetworkMode != "" && len(s.DNSServers)+len(s.SearchDomains) > 0 {
		return refuse(codeClient, "Invalid setting for container '%s'. dnsServers and dnsSearchDomains are not supported when networkMode=%s.", c.Name, d.NetworkMode)
	}
	return nil
}

// checkVolumes refuses mounts of what is not there, and paths that are none.
func checkVolumes(d *TaskDefinition) *Error {
	volumes := map[string]bool{}
	for _, v := range d.Volumes {
		if !validName(v.Name) {
			return refuse(codeClient, "Volume name %q is invalid: up to 255 letters, digits, underscores and hyphens are allowed.", v.Name)
		}
		if volumes[v.Name] {
			return refuse(codeClient, "Volume name '%s' is used more than once.", v.Name)
		}
		volumes[v.Name] = true
	}
	for _, c := range d.Containers {
		paths := map[string]bool{}
		for _, m := range c.Setting.Mounts {
			if !volumes[m.Volume] {
				return refuse(codeClient, "Unknown volume '%s' in mountPoints of container '%s'.", m.Volume, c.Name)
			}
			paths[m.Path] = paths[m.Path] || !path.IsAbs(m.Path)
			if paths[m.Path] {
				return refuse(codeClient, "Invalid setting for container '%s'. mountPoints.containerPath %q is not an absolute path.", c.Name, m.Path)
			}
		}
		for _, t := range c.Setting.Tmpfs {
			if !path.IsAbs(t.Path) || t.Size < 1 {
				return refuse(codeClient, "Invalid setting for container '%s'. linuxParameters.tmpfs needs an absolute containerPath (%q) and a size over 0 (%d).", c.Name, t.Path, t.Size)
			}
		}
	}
	return nil
}
