package engine

import (
	"maps"
	"strings"
)

// maxTags is ECS's bound on the tags of a resource.
const maxTags = 50

// tagResource changes the tags of what an ARN names.
func (m *Machine) tagResource(c TagResource) (map[string]string, *Error) {
	kind := ""
	if parts := strings.SplitN(c.ARN, ":", 6); len(parts) == 6 {
		kind, _, _ = strings.Cut(parts[5], "/")
	}
	switch kind {
	case "cluster":
		home, refusal := m.cluster(c.ARN)
		if refusal != nil {
			return nil, refusal
		}
		return m.retag(home.Tags, c, func(tags map[string]string) {
			m.editCluster(home, func(e *Cluster) { e.Tags = tags })
		})
	case "service":
		return m.tagService(c)
	case "task":
		if t := m.findTask(nil, c.ARN); t != nil {
			return m.retag(t.Tags, c, func(tags map[string]string) {
				m.editTask(t).Tags = tags
				if t.Excused && !t.released() {
					m.unexcuse(t)
				}
			})
		}
	case "container-instance":
		if home := m.clusters[clusterOf(c.ARN)]; home != nil {
			if i := m.findInstance(home, c.ARN); i != nil {
				return m.retag(i.Tags, c, func(tags map[string]string) { m.editInstance(i).Tags = tags })
			}
		}
	case "task-definition":
		if d := m.findDefinition(c.ARN); d != nil && means(c.ARN, d.ARN) {
			return m.retag(d.Tags, c, func(tags map[string]string) {
				changed := *d.TaskDefinition
				changed.Tags = tags
				d.TaskDefinition = &changed
				m.redefine(d)
			})
		}
	case "capacity-provider":
		if p, refusal := m.provider(c.ARN); refusal == nil {
			return m.retag(p.Tags, c, func(tags map[string]string) {
				changed := *p
				changed.Tags = tags
				m.keepProvider(&changed)
			})
		}
	}
	return nil, refuse(codeInvalid, "The resource %q was not found. Specify a valid ARN and try again.", c.ARN)
}

// retag works out the tags and, if they are allowed, has them set.
func (m *Machine) retag(was map[string]string, c TagResource, set func(map[string]string)) (map[string]string, *Error) {
	tags := merged(was, c.Set)
	for _, key := range c.Remove {
		delete(tags, key)
	}
	if len(tags) > maxTags {
		return nil, refuse(codeInvalid, "The resource would have %d tags: up to %d are allowed.", len(tags), maxTags)
	}
	if !maps.Equal(tags, was) {
		set(tags)
	}
	return tags, nil
}

// tagService changes a service's tags. A new priority holds for the tasks that
// wait already: the order in which they are placed is looked up when there is
// room.
func (m *Machine) tagService(c TagResource) (map[string]string, *Error) {
	s, refusal := m.service("", c.ARN)
	if refusal != nil {
		return nil, refusal
	}
	if s.Status == statusInactive {
		return nil, refuse(codeServiceNotFound, "Service not found.")
	}
	after := merged(s.Tags, c.Set)
	for _, key := range c.Remove {
		delete(after, key)
	}
	priority, refusal := servicePriority(s.Scheduling, after)
	if refusal != nil {
		return nil, refusal
	}
	return m.retag(s.Tags, c, func(tags map[string]string) {
		e := m.editService(s)
		e.Tags = tags
		if e.Priority == priority {
			return
		}
		e.Priority = priority
		for _, t := range s.waiting {
			m.editTask(t).Priority = priority
		}
		m.unsettle(s)
	})
}
