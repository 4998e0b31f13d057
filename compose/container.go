package compose

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/go-units"

	"plimsoll"
)

// container reads what surrounds the container.
func (r *report) container(e entry, from types.ServiceConfig, parsed *types.Project, s *Service) {
	s.HealthCheck = r.healthCheck(e.value.get("healthcheck"), from.HealthCheck)
	for _, name := range slices.Sorted(maps.Keys(from.Ulimits)) {
		u := from.Ulimits[name]
		limit := plimsoll.Ulimit{Name: name, Soft: int64(u.Soft), Hard: int64(u.Hard)}
		if u.Single != 0 || u.Soft == 0 && u.Hard == 0 {
			limit.Soft, limit.Hard = int64(u.Single), int64(u.Single)
		}
		if limit.Hard != -1 && (limit.Soft > limit.Hard || limit.Soft == -1) {
			at, _ := e.value.find("ulimits", name)
			r.at(at, "the soft limit %d is over the hard limit %d", limit.Soft, limit.Hard)
		}
		s.Ulimits = append(s.Ulimits, limit)
	}
	s.Init, s.ReadOnly, s.CapAdd, s.CapDrop = from.Init, from.ReadOnly, capabilities(from.CapAdd), capabilities(from.CapDrop)
	r.tmpfs(e.value.get("tmpfs"), from.Tmpfs, s)
	r.volumes(e.value.get("volumes"), from, parsed, s)
	for _, dependency := range slices.Sorted(maps.Keys(from.DependsOn)) {
		if from.DependsOn[dependency].Condition == types.ServiceConditionCompletedSuccessfully {
			at, _ := e.value.find("depends_on", dependency)
			r.at(at, "service_completed_successfully is not supported: each service is a task of its own that is always kept running; let the program do that work before it begins")
		}
	}
	for _, key := range []string{"volumes", "tmpfs", "cap_add", "cap_drop", "read_only"} {
		if n := e.value.get(key); n != nil && !n.only(nil) {
			s.NeedsDocker = append(s.NeedsDocker, Problem{r.file, n.line, n.column, n.path,
				fmt.Sprintf("%q needs Docker: plain processes have the files and rights of the machine's other programs", key)})
		}
	}
}

// capabilities are in ECS's spelling.
func capabilities(names []string) []string {
	var all []string
	for _, name := range names {
		all = append(all, strings.TrimPrefix(strings.ToUpper(name), "CAP_"))
	}
	return all
}

func (r *report) healthCheck(n *node, h *types.HealthCheckConfig) *plimsoll.HealthCheck {
	if n == nil || h == nil || h.Disable || len(h.Test) == 0 || h.Test[0] == "NONE" {
		return nil
	}
	made := &plimsoll.HealthCheck{Command: h.Test}
	for _, f := range []struct {
		key       string
		from      *types.Duration
		to        *time.Duration
		low, high time.Duration
	}{
		{"interval", h.Interval, &made.Interval, 5 * time.Second, 5 * time.Minute},
		{"timeout", h.Timeout, &made.Timeout, 2 * time.Second, 2 * time.Minute},
		{"start_period", h.StartPeriod, &made.StartPeriod, 0, 5 * time.Minute},
	} {
		if f.from == nil {
			continue
		}
		*f.to = time.Duration(*f.from)
		if *f.to < f.low || *f.to > f.high || *f.to%time.Second != 0 {
			r.at(n.get(f.key), "found %s, allowed: whole seconds from %s to %s", n.get(f.key).describe(), f.low, f.high)
		}
	}
	if h.Retries != nil {
		made.Retries = int(min(*h.Retries, 11))
		if *h.Retries < 1 || *h.Retries > 10 {
			r.at(n.get("retries"), "found %s, allowed: 1 to 10", n.get("retries").describe())
		}
	}
	return made
}

// tmpfs reads path[:options], of which the size has to be one.
func (r *report) tmpfs(n *node, list []string, s *Service) {
	for i, text := range list {
		at := n
		if len(n.items) == len(list) {
			at = n.items[i]
		}
		path, options, _ := strings.Cut(text, ":")
		made := plimsoll.Tmpfs{Path: path}
		for option := range strings.SplitSeq(options, ",") {
			size, sized := strings.CutPrefix(option, "size=")
			switch {
			case sized:
				bytes, err := units.RAMInBytes(size)
				if err != nil || bytes <= 0 {
					r.at(at, "found the size %q, allowed: an amount of memory, such as 64m", size)
				}
				made.Size = mebibytes(bytes)
			case option != "":
				made.Options = append(made.Options, option)
			}
		}
		if made.Size == 0 || !strings.HasPrefix(path, "/") {
			r.at(at, `found %q, allowed: an absolute path with a size, such as "/tmp:size=64m"`, text)
		}
		s.Tmpfs = append(s.Tmpfs, made)
	}
}

func mebibytes(bytes int64) int64 { return (bytes + 1<<20 - 1) >> 20 }

func (r *report) volumes(n *node, from types.ServiceConfig, parsed *types.Project, s *Service) {
	for i, v := range from.Volumes {
		at := n
		if len(n.items) == len(from.Volumes) {
			at = n.items[i]
		}
		m := plimsoll.Mount{Path: v.Target, ReadOnly: v.ReadOnly}
		if !strings.HasPrefix(v.Target, "/") {
			r.at(at, "the path %q in the container is not absolute", v.Target)
		}
		if v.Bind != nil && (v.Bind.Propagation != "" || v.Bind.SELinux != "") || v.Volume != nil && (v.Volume.NoCopy || v.Volume.Subpath != "") {
			r.at(at, "options of the mount (propagation, selinux, nocopy, subpath) are not supported; remove them")
		}
		switch v.Type {
		case types.VolumeTypeBind:
			m.HostPath = filepath.Clean(v.Source)
		case types.VolumeTypeVolume:
			r.namedVolume(at, v.Source, parsed, &m)
		case types.VolumeTypeTmpfs:
			if v.Tmpfs == nil || v.Tmpfs.Size <= 0 {
				r.at(at, "a tmpfs needs a size: tmpfs: {size: 64m}")
				continue
			}
			s.Tmpfs = append(s.Tmpfs, plimsoll.Tmpfs{Path: v.Target, Size: mebibytes(int64(v.Tmpfs.Size))})
			continue
		default:
			r.at(at, "a volume of the type %q is not supported; allowed: bind, volume, tmpfs", v.Type)
		}
		s.Mounts = append(s.Mounts, m)
	}
}

// namedVolume fills in what the top level says of a volume; one without a name is
// the task's own.
func (r *report) namedVolume(at *node, name string, parsed *types.Project, m *plimsoll.Mount) {
	if name == "" {
		return
	}
	config, ok := parsed.Volumes[name]
	if !ok {
		r.at(at, "there is no volume %q at the top level; add it: volumes: {%s: {}}", name, name)
		return
	}
	m.Volume, m.External, m.Driver, m.Options = config.Name, bool(config.External), config.Driver, config.DriverOpts
}
