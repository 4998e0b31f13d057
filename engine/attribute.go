package engine

import (
	"maps"
	"strings"
)

// The bounds of attributes.
const (
	maxAttributeCall = 10 // in one call
	maxAttributes    = 10 // of an instance, those of ECS itself aside
	maxAttributeText = 128
)

func (m *Machine) putAttributes(c PutAttributes) ([]Attribute, *Error) {
	targets, refusal := m.attributeTargets(c.Cluster, c.Attributes)
	if refusal != nil {
		return nil, refusal
	}
	after := map[*instance]map[string]string{}
	for n, a := range c.Attributes {
		if refusal := checkAttribute(a); refusal != nil {
			return nil, refusal
		}
		i := targets[n]
		if after[i] == nil {
			after[i] = merged(i.Attributes)
		}
		value := ""
		if a.Value != nil {
			value = *a.Value
		}
		after[i][a.Name] = value
		if own := ownAttributes(after[i]); own > maxAttributes {
			return nil, refuse(codeAttributeLimit, "The container instance %s would have %d attributes of its own: up to %d are allowed.", i.ARN, own, maxAttributes)
		}
	}
	result := make([]Attribute, 0, len(targets))
	for n, i := range targets {
		m.setAttributes(i, after[i])
		a := c.Attributes[n]
		result = append(result, Attribute{Name: a.Name, Value: a.Value, Target: i.ARN})
	}
	return result, nil
}

func (m *Machine) deleteAttributes(c DeleteAttributes) ([]Attribute, *Error) {
	targets, refusal := m.attributeTargets(c.Cluster, c.Attributes)
	if refusal != nil {
		return nil, refusal
	}
	for n, a := range c.Attributes {
		value, there := targets[n].Attributes[a.Name]
		if !there || a.Value != nil && *a.Value != value {
			return nil, refuse(codeTargetNotFound, "The container instance %s has no attribute %q with that value.", targets[n].ARN, a.Name)
		}
		if strings.HasPrefix(a.Name, "ecs.") {
			return nil, refuse(codeInvalid, "The attribute %q is ECS's own and cannot be deleted.", a.Name)
		}
	}
	var result []Attribute
	for n, a := range c.Attributes {
		i := targets[n]
		rest := maps.Clone(i.Attributes)
		value := rest[a.Name]
		delete(rest, a.Name)
		m.setAttributes(i, rest)
		result = append(result, Attribute{Name: a.Name, Value: &value, Target: i.ARN})
	}
	return result, nil
}

// attributeTargets finds the instance of each attribute.
func (m *Machine) attributeTargets(cluster string, list []Attribute) ([]*instance, *Error) {
	home, refusal := m.cluster(cluster)
	if refusal != nil {
		return nil, refusal
	}
	if len(list) == 0 || len(list) > maxAttributeCall {
		return nil, refuse(codeInvalid, "attributes has %d items: 1 to %d are allowed.", len(list), maxAttributeCall)
	}
	targets := make([]*instance, len(list))
	for n, a := range list {
		if targets[n] = m.findInstance(home, a.Target); a.Target == "" || targets[n] == nil {
			return nil, refuse(codeTargetNotFound, "The container instance %q was not found in the cluster %q.", a.Target, home.Name)
		}
	}
	return targets, nil
}

func checkAttribute(a Attribute) *Error {
	switch {
	case !attributeText(a.Name, "-_/\\."):
		return refuse(codeInvalid, "The attribute name %q is invalid: 1 to 128 letters, digits, hyphens, underscores, slashes, backslashes and periods are allowed.", a.Name)
	case strings.HasPrefix(a.Name, "ecs."):
		return refuse(codeInvalid, "The attribute name %q is invalid: names that begin with ecs. are ECS's own.", a.Name)
	case a.Value != nil && (!attributeText(*a.Value, "-_.@/\\: ") || strings.TrimSpace(*a.Value) != *a.Value):
		return refuse(codeInvalid, "The value %q of attribute %q is invalid: 1 to 128 letters, digits, hyphens, underscores, periods, @, slashes, backslashes, "+
			"colons and, inside, spaces are allowed.", *a.Value, a.Name)
	}
	return nil
}

// attributeText tells whether all of a text are letters, digits and the marks.
func attributeText(s, marks string) bool {
	if s == "" || len(s) > maxAttributeText {
		return false
	}
	for _, r := range s {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !letter && !strings.ContainsRune(marks, r) {
			return false
		}
	}
	return true
}

func ownAttributes(all map[string]string) int {
	n := 0
	for name := range all {
		if !strings.HasPrefix(name, "ecs.") {
			n++
		}
	}
	return n
}

// setAttributes changes an instance's attributes. Tasks that waited for one may
// find their place now.
func (m *Machine) setAttributes(i *instance, attributes map[string]string) {
	if maps.Equal(i.Attributes, attributes) {
		return
	}
	i.home.board = nil
	m.unsettleDaemons(i.home)
	m.editInstance(i).Attributes = attributes
	m.makeRoom(i.home, true, nil)
}
