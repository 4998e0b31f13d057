package scale

import (
	"cmp"
	"slices"
	"strings"

	"plimsoll"
)

// Leavers chooses which tasks of a service leave, for it to have so many: for
// platforms that let it be said. Stay are those that remain of the tasks that
// there was a choice of; what the platform is replacing anyway, on draining hosts
// or by a deployment, is in neither, and protected tasks stay.
//
// Those go first that drain already, then what does not run yet, then what is
// unwell; each so that the zones stay balanced, and of a zone the youngest, as the
// embedded engine has it. More to leave never changes who leaves for fewer.
func Leavers(c plimsoll.Cluster, service string, desired int) (leave, stay []plimsoll.Task) {
	of := plimsoll.Service{Name: service}
	for _, s := range c.Services {
		if s.Name == service {
			of = s
		}
	}
	replacing := map[string]bool{}
	for _, host := range c.Instances {
		replacing[host.ARN] = host.Status == plimsoll.InstanceDraining
	}
	inZone := map[string]int{}
	for _, t := range c.Tasks {
		if t.Service != service || !t.Live() || t.Leaving() || replacing[t.ContainerInstance] ||
			t.TaskDefinition != of.TaskDefinition || Relieved(&of, &t) {
			continue
		}
		inZone[t.Zone]++
		stay = append(stay, t)
	}
	slices.SortFunc(stay, func(a, b plimsoll.Task) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), strings.Compare(b.ARN, a.ARN))
	})
	for len(stay) > max(0, desired) {
		at := -1
		for i := range stay {
			if t := &stay[i]; !t.Protected && (at < 0 || goesBefore(t, &stay[at], inZone)) {
				at = i
			}
		}
		if at < 0 {
			break
		}
		inZone[stay[at].Zone]--
		leave = append(leave, stay[at])
		stay = slices.Delete(stay, at, at+1)
	}
	return leave, stay
}

// goesBefore tells whether a task leaves before another, which is younger.
func goesBefore(a, b *plimsoll.Task, inZone map[string]int) bool {
	rank := func(t *plimsoll.Task) int {
		switch {
		case t.Draining:
			return 0
		case t.LastStatus != plimsoll.StatusRunning:
			return 1
		case t.Unwell:
			return 2
		}
		return 3
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(inZone[b.Zone], inZone[a.Zone])) < 0
}
