package engine

import "slices"

// settingKey is the key of a setting's record; the principal's ARN has slashes
// of its own.
func settingKey(name, principal string) string { return "setting/" + name + "/" + principal }

// putSetting sets an account setting or takes it away. Which names and values
// there are is the wire's to check: the engine acts on none of them.
func (m *Machine) putSetting(c PutSetting) (*Setting, *Error) {
	key := settingKey(c.Name, c.Principal)
	was := m.settings[key]
	now := &Setting{Name: c.Name, Principal: c.Principal, Value: c.Value}
	switch {
	case c.Value != "":
		m.settings[key] = now
	case was == nil:
		return now, nil
	default:
		now = was
		delete(m.settings, key)
	}
	if !slices.Contains(m.changed.settings, key) {
		m.changed.settings = append(m.changed.settings, key)
	}
	return now, nil
}
