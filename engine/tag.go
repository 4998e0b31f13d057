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
	tags, refusal := changeTags(s.Tags, c.Set, c.Remove)
	if refusal != nil {
		return nil, refusal
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

// tagTask changes a task's tags.
func (m *Machine) tagTask(c TagTask) (*Task, *Error) {
	t := m.findTask(nil, c.Task)
	if t == nil {
		return nil, refuse(codeInvalid, "The specified task was not found: %q.", c.Task)
	}
	tags, refusal := changeTags(t.Tags, c.Set, c.Remove)
	if refusal != nil {
		return nil, refusal
	}
	m.editTask(t).Tags = tags
	if t.Excused && !t.released() {
		m.unexcuse(t)
	}
	return t.Task, nil
}

// changeTags gives a copy of tags with the changes.
func changeTags(old, put map[string]string, remove []string) (map[string]string, *Error) {
	tags := maps.Clone(old)
	if tags == nil {
		tags = map[string]string{}
	}
	maps.Copy(tags, put)
	for _, key := range remove {
		delete(tags, key)
	}
	if len(tags) > maxTags {
		return nil, refuse(codeInvalid, "The resource would have %d tags: up to %d are allowed.", len(tags), maxTags)
	}
	return tags, nil
}
