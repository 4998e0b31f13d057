package engine

import "maps"

// maxTags is ECS's bound on the tags of a resource.
const maxTags = 50

// tagService changes a service's tags. A new priority holds for the tasks that
// wait already: the order in which they are placed is looked up when there is
// room.
func (m *Machine) tagService(c TagService) (*Service, *Error) {
	s, refusal := m.service("", c.Service)
	if refusal != nil {
		return nil, refusal
	}
	if s.Status == statusInactive {
		return nil, refuse(codeServiceNotFound, "Service not found.")
	}
	tags := maps.Clone(s.Tags)
	if tags == nil {
		tags = map[string]string{}
	}
	maps.Copy(tags, c.Set)
	for _, key := range c.Remove {
		delete(tags, key)
	}
	if len(tags) > maxTags {
		return nil, refuse(codeInvalid, "The resource would have %d tags: up to %d are allowed.", len(tags), maxTags)
	}
	priority, refusal := priorityOf(tags)
	if refusal != nil {
		return nil, refusal
	}
	e := m.editService(s)
	e.Tags = tags
	if e.Priority != priority {
		e.Priority = priority
		for _, t := range s.waiting {
			m.editTask(t).Priority = priority
		}
		m.unsettle(s)
	}
	return s.Service, nil
}
