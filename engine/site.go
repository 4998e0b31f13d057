package engine

import (
	"encoding/binary"
	"slices"
	"strconv"
	"strings"
	"time"

	"plimsoll/place"
	"plimsoll/place/query"
)

// terms are how a task is to be placed, beyond what it needs of a host.
type terms struct {
	strategies  []place.Strategy
	constraints []place.Constraint
	provider    string
	target      string // the one instance on which it may be
	group       string
}

// plain tells whether the fleet's own order serves.
func (t terms) plain() bool {
	return len(t.constraints) == 0 && t.provider == "" && t.target == "" && place.Plain(t.strategies)
}

// terms are those of a service's task.
func (t *task) terms() terms {
	n := terms{provider: t.CapacityProvider, target: t.Target, group: t.groupName()}
	n.constraints = t.def.Constraints
	if t.svc != nil {
		n.strategies = t.svc.Strategies
		if len(n.constraints) == 0 {
			n.constraints = t.svc.Constraints
		} else if len(t.svc.Constraints) > 0 {
			n.constraints = slices.Concat(n.constraints, t.svc.Constraints)
		}
	}
	return n
}

// groupName is the task's group. Tasks of an older log may have none.
func (t *task) groupName() string {
	switch {
	case t.Group != "":
		return t.Group
	case t.Service != "":
		return "service:" + t.Service
	}
	return "family:" + t.Family
}

// pick chooses an instance for a task.
func (m *Machine) pick(home *cluster, r place.Request, n terms) (*instance, bool) {
	switch {
	case n.plain():
		host, ok := home.fleet.Pick(r)
		return home.byARN[host], ok
	case n.target != "":
		i := home.byARN[n.target]
		return i, i != nil && i.lacks(r.Reserved, r.Ports) == ""
	}
	at, ok := m.board(home).Pick(m.search(home, r, n))
	if !ok {
		return nil, false
	}
	return home.instances[at], true
}

// shortage says why a task finds no place.
func (m *Machine) shortage(home *cluster, r place.Request, n terms) place.Shortage {
	if n.plain() {
		return home.fleet.Shortage(r)
	}
	return m.board(home).Lacks(m.search(home, r, n))
}

// board gives the cluster's board; it is made when it is first asked for, and
// anew when hosts come, go or change.
func (m *Machine) board(home *cluster) *place.Board {
	if home.board != nil {
		return home.board
	}
	sites := make([]place.Site, len(home.instances))
	for n, i := range home.instances {
		i.slot = n
		ports := i.ReservedPorts
		for _, t := range i.tasks {
			if len(t.FixedPorts) > 0 {
				ports = slices.Concat(ports, t.FixedPorts)
			}
		}
		slices.Sort(ports)
		sites[n] = place.Site{Free: home.fleet.Free(i.ARN), Closed: i.draining(), Ports: ports}
	}
	home.board = place.NewBoard(sites)
	return home.board
}

// boardRequest is what a task has on the board.
func (t *task) boardRequest() place.Request {
	return place.Request{Group: t.groupName(), Reserved: t.Reserved, Ports: t.FixedPorts}
}

// search is what the board is asked.
func (m *Machine) search(home *cluster, r place.Request, n terms) *place.Search {
	r.Group = n.group
	s := &place.Search{Request: r, Strategies: n.strategies}
	var fixed, loose []query.Expr
	var key []string
	for _, c := range n.constraints {
		switch expr := m.expression(c.Expression); {
		case c.Type == place.DistinctInstance:
			s.Distinct = true
		case expr.Fixed():
			fixed = append(fixed, expr)
			key = append(key, c.Expression)
		default:
			loose = append(loose, expr)
		}
	}
	group := ""
	if p := m.providers[n.provider]; p != nil {
		group = p.Group
		key = append(key, "\x00"+p.Group)
	}
	s.Fixed = strings.Join(key, "\x00")
	s.Admits = func(host int) bool {
		i := home.instances[host]
		return i.serves(group) && i.satisfies(fixed)
	}
	if len(loose) > 0 {
		s.Check = func(host int) bool { return home.instances[host].satisfies(loose) }
	}
	s.Value = func(host int, field string) string { return home.instances[host].field(field) }
	s.On = func() []int { return home.hostsOf(n.group) }
	if slices.ContainsFunc(n.strategies, func(s place.Strategy) bool { return s.Type == place.Random }) {
		d := m.digest(m.number())
		s.Random = binary.BigEndian.Uint64(d[:8])
	}
	return s
}

// expression gives a parsed expression; what has been accepted once can be read.
func (m *Machine) expression(text string) query.Expr {
	expr, known := m.expressions[text]
	if known {
		return expr
	}
	expr, _ = query.Parse(text)
	if len(m.expressions) >= 1000 {
		clear(m.expressions)
	}
	m.expressions[text] = expr
	return expr
}

// hostsOf are the indexes of the instances that have the group's tasks, one for
// each task.
func (c *cluster) hostsOf(group string) []int {
	tasks := c.tasks
	if name, ok := strings.CutPrefix(group, "service:"); ok && c.services[name] != nil {
		tasks = c.services[name].tasks
	}
	var on []int
	for _, t := range tasks {
		if t.host != nil && t.groupName() == group {
			on = append(on, t.host.slot)
		}
	}
	return on
}

// serves tells whether an instance is of an Auto Scaling group; one that says of
// none that it is its own serves all.
func (i *instance) serves(group string) bool {
	own, ok := i.Attributes[AttributeGroup]
	return group == "" || !ok || own == group
}

func (i *instance) satisfies(list []query.Expr) bool {
	for _, expr := range list {
		if !expr.Holds(subject{i}) {
			return false
		}
	}
	return true
}

// field is an instance's value for a spread.
func (i *instance) field(name string) string {
	if attribute, ok := strings.CutPrefix(name, "attribute:"); ok {
		return i.Attributes[attribute]
	}
	return i.ARN // instanceId, host
}

// subject is an instance as the query language asks about it.
type subject struct{ *instance }

func (s subject) Value(name string) (string, bool) {
	if attribute, ok := strings.CutPrefix(name, "attribute:"); ok {
		value, there := s.Attributes[attribute]
		return value, there
	}
	switch name {
	case "agentConnected":
		return "true", true
	case "agentVersion":
		return s.AgentVersion, s.AgentVersion != ""
	case "ec2InstanceId":
		return s.EC2InstanceID, true
	case "registeredAt":
		return s.RegisteredAt.UTC().Format(time.RFC3339), true
	case "runningTasksCount":
		return strconv.Itoa(s.running), true
	}
	return "", false
}

func (s subject) Groups() []string {
	groups := make([]string, 0, len(s.tasks))
	for _, t := range s.tasks {
		groups = append(groups, t.groupName())
	}
	return groups
}

// Matching are the instances of a cluster that an expression of the cluster
// query language holds for, in the order of their registration.
func (m *Machine) Matching(cluster string, expr query.Expr) []*ContainerInstance {
	c := m.findCluster(cluster)
	if c == nil {
		return nil
	}
	var list []*ContainerInstance
	for _, i := range c.instances {
		if expr.Holds(subject{i}) {
			list = append(list, i.ContainerInstance)
		}
	}
	return list
}

// The bounds of strategies and constraints.
const (
	maxStrategies  = 5
	maxConstraints = 10
)

// checkStrategies refuses placement strategies that ECS does not have.
func checkStrategies(list []place.Strategy) *Error {
	if len(list) > maxStrategies {
		return refuse(codeInvalid, "placementStrategy has %d items: up to %d are allowed.", len(list), maxStrategies)
	}
	for n, s := range list {
		attribute, ok := strings.CutPrefix(s.Field, "attribute:")
		ok = ok && attribute != ""
		switch {
		case s.Type == place.Spread && (ok || s.Field == place.FieldInstance):
		case s.Type == place.Binpack && (s.Field == place.FieldCPU || s.Field == place.FieldMemory):
		case s.Type == place.Random && s.Field == "":
		case s.Type == place.Spread:
			return refuse(codeInvalid, "placementStrategy[%d]: the field %q of spread is invalid: attribute:NAME and instanceId are allowed.", n, s.Field)
		case s.Type == place.Binpack:
			return refuse(codeInvalid, "placementStrategy[%d]: the field %q of binpack is invalid: cpu and memory are allowed.", n, s.Field)
		case s.Type == place.Random:
			return refuse(codeInvalid, "placementStrategy[%d]: random has no field, got %q.", n, s.Field)
		default:
			return refuse(codeInvalid, "placementStrategy[%d]: the type %q is invalid: spread, binpack and random are allowed.", n, s.Type)
		}
	}
	return nil
}

// checkConstraints refuses placement constraints that cannot be read. Where
// names the list; distinct tells whether distinctInstance is allowed there.
func checkConstraints(where string, list []place.Constraint, distinct bool) *Error {
	if len(list) > maxConstraints {
		return refuse(codeInvalid, "%s has %d items: up to %d are allowed.", where, len(list), maxConstraints)
	}
	for n, c := range list {
		switch {
		case c.Type == place.DistinctInstance && distinct:
			if c.Expression != "" {
				return refuse(codeInvalid, "%s[%d]: distinctInstance has no expression, got %q.", where, n, c.Expression)
			}
		case c.Type == place.MemberOf:
			if strings.TrimSpace(c.Expression) == "" {
				return refuse(codeInvalid, "%s[%d]: memberOf needs an expression.", where, n)
			}
			if _, err := query.Parse(c.Expression); err != nil {
				return refuse(codeInvalid, "%s[%d]: invalid expression %q: %v.", where, n, c.Expression, err)
			}
		case distinct:
			return refuse(codeInvalid, "%s[%d]: the type %q is invalid: distinctInstance and memberOf are allowed.", where, n, c.Type)
		default:
			return refuse(codeClient, "%s[%d]: the type %q is invalid: memberOf is allowed.", where, n, c.Type)
		}
	}
	return nil
}
