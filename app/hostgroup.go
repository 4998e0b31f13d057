package app

import (
	"context"
	"slices"
	"strconv"

	"plimsoll"
	"plimsoll/compose"
	"plimsoll/control"
	"plimsoll/engine"
	"plimsoll/platform"
	"plimsoll/scale"
)

// hostGroups are the groups whose hosts come and go: the one that the file's hosts
// are launched in, if it gives bounds.
func (u *up) hostGroups() []string {
	if u.project.Hosts.Max == 0 {
		return nil
	}
	return []string{u.project.Name + "-hosts"}
}

// putHosts makes the file's hosts be there: a fixed number, or a group of as many
// as there are within its bounds.
func (u *up) putHosts(ctx context.Context) error {
	names := u.hostGroups()
	if err := u.dropGroups(ctx, names); err != nil || len(names) == 0 {
		if err != nil {
			return err
		}
		return u.engine.putHosts(ctx, u.hosts())
	}
	if _, err := u.engine.daemon.Do(ctx, engine.CreateCluster{Name: u.project.Name}); err != nil {
		return err
	}
	fixed := u.hosts()
	fixed.count = 0 // those of a file that had a fixed number leave
	if err := u.engine.setHosts(ctx, u.engine.daemon, fixed, hostGroup); err != nil {
		return err
	}
	return u.putGroup(ctx, names[0])
}

// putGroup makes the group be as the file has it.
func (u *up) putGroup(ctx context.Context, name string) error {
	h := u.project.Hosts
	g := engine.Group{
		Name: name, Cluster: u.project.Name, Min: h.Min, Max: h.Max, Desired: h.Count, Type: "plimsoll", Each: h.Each, LaunchTime: h.LaunchTime,
		Tags: map[string]string{
			plimsoll.TagProject: u.project.Name,
			plimsoll.TagHostCPU: strconv.FormatInt(h.Each.CPU, 10), plimsoll.TagHostMemory: strconv.FormatInt(h.Each.Memory, 10),
		},
	}
	for i := range max(1, h.Zones) {
		g.Zones = append(g.Zones, u.run.Region+string(rune('a'+i)))
	}
	var there *engine.Group
	u.engine.daemon.Read(func(v engine.View) {
		if at := slices.IndexFunc(v.Groups(), func(g *engine.Group) bool { return g.Name == name }); at >= 0 {
			there = v.Groups()[at]
		}
	})
	var err error
	switch {
	case there == nil:
		_, err = u.engine.daemon.Do(ctx, engine.CreateGroup{Group: g})
	default:
		_, err = u.engine.daemon.Do(ctx, engine.UpdateGroup{Name: name, Min: &g.Min, Max: &g.Max, Zones: g.Zones, Each: &g.Each, LaunchTime: &g.LaunchTime, SetTags: g.Tags})
	}
	return err
}

// dropGroups removes the project's groups that the file does not ask for any more.
func (u *up) dropGroups(ctx context.Context, names []string) error {
	var drop []string
	u.engine.daemon.Read(func(v engine.View) {
		for _, g := range v.Groups() {
			if g.Tags[plimsoll.TagProject] == u.project.Name && !slices.Contains(names, g.Name) {
				drop = append(drop, g.Name)
			}
		}
	})
	for _, name := range drop {
		if _, err := u.engine.daemon.Do(ctx, engine.DeleteGroup{Name: name, Force: true}); err != nil {
			return err
		}
	}
	return nil
}

// scaledHosts has the loop decide on hosts; nil where none come and go.
func scaledHosts(p platform.HostScaler, h compose.Hosts, groups []string) *control.Hosts {
	if len(groups) == 0 {
		return nil
	}
	return &control.Hosts{Scaler: p, Rules: hostRules(h)}
}

// hostRules are those of the file.
func hostRules(h compose.Hosts) scale.HostRules {
	rules := scale.DefaultHostRules()
	rules.LaunchesPerPass = h.LaunchAtOnce
	if h.Headroom.Tasks > 0 {
		rules.Headroom = []scale.Headroom{{Tasks: h.Headroom.Tasks, Size: plimsoll.Resources{CPU: h.Headroom.CPU, Memory: int64(h.Headroom.Memory)}}}
	}
	in := &rules.In
	in.Off, in.Stable, in.Batch, in.MinPerZone = h.ScaleIn.Off, h.ScaleIn.Stable, h.ScaleIn.Batch, h.ScaleIn.MinPerZone
	in.StableMost = max(in.StableMost, in.Stable)
	in.DrainTimeout, in.Stuck = h.ScaleIn.DrainTimeout, scale.Stuck(h.ScaleIn.Stuck)
	in.CPU, in.Memory = scale.Threshold(h.ScaleIn.CPU), scale.Threshold(h.ScaleIn.Memory)
	return rules
}
