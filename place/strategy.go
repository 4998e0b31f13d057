package place

import "strings"

// Strategy is one of ECS's placement strategies: of the hosts on which a task
// can go, those are kept that are the best by the first, then by the second, …
type Strategy struct {
	Type string `json:",omitzero"` // spread, binpack, random
	// Field is attribute:NAME or instanceId for spread, cpu or memory for binpack.
	Field string `json:",omitzero"`
}

// Constraint is one of ECS's placement constraints.
type Constraint struct {
	Type       string `json:",omitzero"` // distinctInstance, memberOf
	Expression string `json:",omitzero"` // of memberOf
}

// The names of strategies, constraints and fields.
const (
	Spread           = "spread"
	Binpack          = "binpack"
	Random           = "random"
	DistinctInstance = "distinctInstance"
	MemberOf         = "memberOf"

	FieldInstance = "instanceId"
	FieldZone     = "attribute:ecs.availability-zone"
	FieldCPU      = "cpu"
	FieldMemory   = "memory"
)

// Plain tells whether a Fleet's own order serves the strategies: no strategy at
// all, spread over the zones, and after it binpack by CPU.
func Plain(strategies []Strategy) bool {
	zone := Strategy{Type: Spread, Field: FieldZone}
	switch len(strategies) {
	case 0:
		return true
	case 1:
		return strategies[0] == zone
	case 2:
		return strategies[0] == zone && strategies[1] == Strategy{Type: Binpack, Field: FieldCPU}
	}
	return false
}

// layers are the fields over which the strategies spread, each joined with those
// before it: the second layer spreads within each part of the first.
func layers(strategies []Strategy) []string {
	var keys []string
	var fields []string
	for _, s := range strategies {
		if s.Type == Spread {
			fields = append(fields, s.Field)
			keys = append(keys, strings.Join(fields, "\x00"))
		}
	}
	return keys
}
