package api

import (
	"math"

	"plimsoll"
	"plimsoll/control"
)

// UsedView is what several tasks use together. CPU is in CPU units, null while it
// is known of none; memory is in MiB.
type UsedView struct {
	CPU    *float64 `json:"cpu"`
	Memory float64  `json:"memory"`
	// Tasks is how many of them were measured: those that have just begun are not.
	Tasks int `json:"tasks"`
}

// add counts a task's use in.
func (v *UsedView) add(u plimsoll.Usage) {
	v.Tasks++
	v.Memory = math.Round((v.Memory+u.Memory())*10) / 10
	if cpu := u.CPU(); cpu != nil {
		if v.CPU == nil {
			v.CPU = new(float64)
		}
		*v.CPU = math.Round((*v.CPU+*cpu)*10) / 10
	}
}

// used adds up the use of the running tasks by a key of theirs; a task with an
// empty key counts for none.
func (o Options) used(c plimsoll.Cluster, key func(plimsoll.Task) string) map[string]*UsedView {
	sums := map[string]*UsedView{}
	if o.Meter == nil {
		return sums
	}
	for _, t := range c.Tasks {
		k := key(t)
		u, ok := o.Meter.Usage(t.ID())
		if !ok || k == "" || t.LastStatus == plimsoll.StatusStopped {
			continue
		}
		if sums[k] == nil {
			sums[k] = &UsedView{}
		}
		sums[k].add(u)
	}
	return sums
}

// serviceViews are ServiceViews with what the services use.
func (o Options) serviceViews(st control.State) []ServiceView {
	views := ServiceViews(st, o.Services)
	used := o.used(st.Cluster, func(t plimsoll.Task) string { return t.Service })
	for i := range views {
		views[i].Used = used[views[i].Name]
	}
	return views
}

// hostViews are the hosts with what their tasks use.
func (o Options) hostViews(c plimsoll.Cluster, tasks []TaskView) []HostView {
	views := hostViews(c, tasks)
	used := o.used(c, func(t plimsoll.Task) string { return t.ContainerInstance })
	for i := range views {
		views[i].Used = used[views[i].ARN]
	}
	return views
}

// taskViews are the tasks with what their containers use.
func (o Options) taskViews(c plimsoll.Cluster) []TaskView {
	views := taskViews(c)
	if o.Meter == nil {
		return views
	}
	for i := range views {
		if u, ok := o.Meter.Usage(views[i].ID); ok && views[i].LastStatus != plimsoll.StatusStopped {
			views[i].Used = &u
		}
	}
	return views
}
